// f32 convolutions, forward and both gradients, beside oneDNN: the two of lenet, and one of a ResNet's basic block.
// oneDNN stands there twice: on plain arrays as ours are, reordering in each call, and on its own layouts.
// Run: bazel run //bench:conv
#include <fmt/format.h>

#include "bench/check.h"
#include "bench/fma_peak.h"
#include "bench/peers/peer.h"
#include "engine/base/parallel.h"

namespace faultline::bench {
namespace {

struct Layer {
  const char* name;
  Conv2dShape shape;
};
const Layer kLayers[] = {
    {"lenet conv1", {.N = 64, .C = 1, .H = 28, .W = 28, .OC = 6, .KH = 5, .KW = 5, .pad_h = 2, .pad_w = 2}},
    {"lenet conv2", {.N = 64, .C = 6, .H = 14, .W = 14, .OC = 16, .KH = 5, .KW = 5}},
    {"resnet 64ch 3x3",
     {.N = 32, .C = 64, .H = 32, .W = 32, .OC = 64, .KH = 3, .KW = 3, .pad_h = 1, .pad_w = 1}}};

// What a pass reads and writes, and the terms of each of its sums.
struct Sizes {
  int64_t image, other, out, k;
};
Sizes sizes(const Conv2dShape& s, ConvPass pass) {
  const int64_t x = s.N * s.C * s.H * s.W, w = s.OC * s.C * s.KH * s.KW, positions = s.OH() * s.OW(),
                y = s.N * s.OC * positions;
  switch (pass) {
    case ConvPass::kForward:
      return {x, w, y, s.C * s.KH * s.KW};
    case ConvPass::kDx:
      return {y, w, x, s.OC * s.KH * s.KW};
    case ConvPass::kDw:
      return {x, y, w, s.N * positions};
  }
  return {};
}

void our_conv2d(const Conv& c) {
  const ConstArray image{c.image, Dtype::kF32}, other{c.other, Dtype::kF32};
  const Array out{c.out, Dtype::kF32};
  if (c.pass == ConvPass::kForward) conv2d_forward("bench", c.shape, image, other, nullptr, out, {});
  if (c.pass == ConvPass::kDx) conv2d_dx("bench", c.shape, image, other, out, {});
  if (c.pass == ConvPass::kDw) conv2d_dw("bench", c.shape, image, other, out, {});
}

// Each peer's result is compared with ours before it is timed.
void compare(Suite& suite, const Layer& layer, ConvPass pass, const char* pass_name, int threads) {
  const std::string name = fmt::format("{} {}", layer.name, pass_name);
  if (!suite.wants(name, threads)) return;
  set_threads(threads);
  const Sizes size = sizes(layer.shape, pass);
  const Floats image = uniform(size.image, 1), other = uniform(size.other, 2);
  Floats out(size.out), magnitude(size.out), theirs(size.out);
  const Conv ours{layer.shape, pass, image.data(), other.data(), out.data()};
  our_conv2d(ours);
  {
    const Floats abs_image = absolute(image), abs_other = absolute(other);
    our_conv2d({layer.shape, pass, abs_image.data(), abs_other.data(), magnitude.data()});
  }

  const Conv2dShape& s = layer.shape;
  const double products = double(s.N * s.OC * s.OH() * s.OW()) * double(s.C * s.KH * s.KW);
  Comparison comparison{name, threads, 2e-9 * products, {}, fma_peak(threads)};
  comparison.contenders.push_back({"ours", [=] { our_conv2d(ours); }});
  for (const auto& [peer, library] : Registry<Peer>::instance().entries()) {
    if (!library.conv2d) continue;
    Conv call = ours;
    call.out = theirs.data();
    library.set_threads(threads);
    const auto body = library.conv2d(call, false);
    body();
    check_sums(fmt::format("{} {}", peer, name), size.k, out, theirs, magnitude);
    comparison.contenders.push_back({peer, body});
    comparison.contenders.push_back({peer + ", its layout", library.conv2d(call, true)});
  }
  suite.compare(comparison);
}

void measure(Suite& suite) {
  for (const auto& [name, library] : Registry<Peer>::instance().entries()) {
    if (library.conv2d) suite.library(name, library.version());
  }
  for (const int threads : {1, 2}) {
    for (const Layer& layer : kLayers) {
      compare(suite, layer, ConvPass::kForward, "forward", threads);
      if (layer.shape.C > 1) compare(suite, layer, ConvPass::kDx, "dx", threads);  // images want no gradient
      compare(suite, layer, ConvPass::kDw, "dw", threads);
    }
  }
}

}  // namespace
}  // namespace faultline::bench

int main(int argc, char** argv) {
  using namespace faultline::bench;
  return run_program(argc, argv, {"conv", "f32 convolutions, forward, dx and dw", "GFLOP/s"}, measure);
}
