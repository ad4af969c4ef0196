#include <dnnl.hpp>

#include "bench/peers/peer.h"
#include "engine/base/cpu.h"
#include "engine/base/error.h"

extern "C" void omp_set_num_threads(int threads);  // of the OpenMP that oneDNN runs on

namespace faultline::bench {
namespace {

using dnnl::memory;
using Arguments = std::unordered_map<int, memory>;

const dnnl::engine& engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

std::string version() {
  const std::string number = std::to_string(DNNL_VERSION_MAJOR) + "." + std::to_string(DNNL_VERSION_MINOR) +
                             "." + std::to_string(DNNL_VERSION_PATCH);
  if (instruction_set_is_best()) return number;
  static const bool kHeld = dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx2) == dnnl::status::success;
  if (!kHeld) throw Error(ErrorCode::kInternal, "onednn", "chose its kernels before it was held to AVX2");
  return number + ", kernels for AVX2";
}

memory::desc matrix(int64_t rows, int64_t cols, bool transposed) {
  return {{rows, cols}, memory::data_type::f32, transposed ? memory::format_tag::ba : memory::format_tag::ab};
}

std::function<void()> gemm(const Gemm& g) {
  const memory::desc a = matrix(g.m, g.k, g.a_transposed), b = matrix(g.k, g.n, g.b_transposed),
                     c = matrix(g.m, g.n, false);
  const dnnl::matmul matmul({dnnl::matmul::desc(a, b, c), engine()});
  const Arguments arguments = {{DNNL_ARG_SRC, memory(a, engine(), const_cast<float*>(g.a))},
                               {DNNL_ARG_WEIGHTS, memory(b, engine(), const_cast<float*>(g.b))},
                               {DNNL_ARG_DST, memory(c, engine(), g.c)}};
  return [=, stream = dnnl::stream(engine())]() mutable {
    matmul.execute(stream, arguments);
    stream.wait();
  };
}

memory::desc plain(const memory::dims& sizes) {
  return {sizes, memory::data_type::f32, memory::format_tag::abcd};
}
memory::desc free_layout(const memory::dims& sizes) {
  return {sizes, memory::data_type::f32, memory::format_tag::any};
}

// A primitive between the caller's plain arrays and its own layouts. Each operand is reordered where the two
// differ: outside of what is timed if `own_layout`, else in every call, as a caller with plain arrays must.
class Reordered {
 public:
  Reordered(bool own_layout, const dnnl::primitive& primitive)
      : own_layout_(own_layout), primitive_(primitive), stream_(engine()) {}

  void in(int argument, const memory::desc& own, const memory::desc& given, const float* data) {
    memory plain(given, engine(), const_cast<float*>(data));
    arguments_[argument] = plain;
    if (own == given) return;
    memory mine(own, engine());
    arguments_[argument] = mine;
    if (own_layout_)
      dnnl::reorder(plain, mine).execute(stream_, plain, mine), stream_.wait();
    else
      before_.push_back({plain, mine});
  }

  void out(int argument, const memory::desc& own, const memory::desc& given, float* data) {
    const memory plain(given, engine(), data);
    arguments_[argument] = plain;
    if (own == given) return;
    memory mine(own, engine());
    arguments_[argument] = mine;
    if (!own_layout_) after_.push_back({mine, plain});
  }

  void operator()() {
    for (auto& [from, to] : before_) dnnl::reorder(from, to).execute(stream_, from, to);
    primitive_.execute(stream_, arguments_);
    for (auto& [from, to] : after_) dnnl::reorder(from, to).execute(stream_, from, to);
    stream_.wait();
  }

 private:
  bool own_layout_;
  dnnl::primitive primitive_;
  dnnl::stream stream_;
  Arguments arguments_;
  std::vector<std::pair<memory, memory>> before_, after_;
};

std::function<void()> conv2d(const Conv& conv, bool own_layout) {
  const Conv2dShape& s = conv.shape;
  const memory::dims x{s.N, s.C, s.H, s.W}, w{s.OC, s.C, s.KH, s.KW}, y{s.N, s.OC, s.OH(), s.OW()};
  const memory::dims stride{s.stride_h, s.stride_w}, pad{s.pad_h, s.pad_w};
  const auto algorithm = dnnl::algorithm::convolution_direct;
  using Forward = dnnl::convolution_forward;
  const Forward::primitive_desc forward({dnnl::prop_kind::forward_training, algorithm, free_layout(x),
                                         free_layout(w), free_layout(y), stride, pad, pad},
                                        engine());
  if (conv.pass == ConvPass::kForward) {
    Reordered call(own_layout, Forward(forward));
    call.in(DNNL_ARG_SRC, forward.src_desc(), plain(x), conv.image);
    call.in(DNNL_ARG_WEIGHTS, forward.weights_desc(), plain(w), conv.other);
    call.out(DNNL_ARG_DST, forward.dst_desc(), plain(y), conv.out);
    return call;
  }
  if (conv.pass == ConvPass::kDx) {
    using Backward = dnnl::convolution_backward_data;
    const Backward::primitive_desc desc(
        {algorithm, free_layout(x), free_layout(w), free_layout(y), stride, pad, pad}, engine(), forward);
    Reordered call(own_layout, Backward(desc));
    call.in(DNNL_ARG_DIFF_DST, desc.diff_dst_desc(), plain(y), conv.image);
    call.in(DNNL_ARG_WEIGHTS, desc.weights_desc(), plain(w), conv.other);
    call.out(DNNL_ARG_DIFF_SRC, desc.diff_src_desc(), plain(x), conv.out);
    return call;
  }
  using Backward = dnnl::convolution_backward_weights;
  const Backward::primitive_desc desc(
      {algorithm, free_layout(x), free_layout(w), free_layout(y), stride, pad, pad}, engine(), forward);
  Reordered call(own_layout, Backward(desc));
  call.in(DNNL_ARG_SRC, desc.src_desc(), plain(x), conv.image);
  call.in(DNNL_ARG_DIFF_DST, desc.diff_dst_desc(), plain(y), conv.other);
  call.out(DNNL_ARG_DIFF_WEIGHTS, desc.diff_weights_desc(), plain(w), conv.out);
  return call;
}

memory argument(const memory::desc& desc, const void* data) {
  return memory(desc, engine(), const_cast<void*>(data));
}

std::function<void()> call(const dnnl::primitive& primitive, const Arguments& arguments) {
  return [=, stream = dnnl::stream(engine())]() mutable {
    primitive.execute(stream, arguments);
    stream.wait();
  };
}

std::function<void()> eltwise(const Elementwise& op, const memory::desc& x, dnnl::algorithm algorithm) {
  const dnnl::eltwise_forward::primitive_desc desc({dnnl::prop_kind::forward_inference, algorithm, x, 0, 0},
                                                   engine());
  return call(dnnl::eltwise_forward(desc),
              {{DNNL_ARG_SRC, argument(x, op.in[0])}, {DNNL_ARG_DST, argument(x, op.out[0])}});
}

std::function<void()> max_pool(const Elementwise& op, const memory::desc& x) {
  const memory::desc y = plain({op.n, op.c, op.h / 2, op.w / 2});
  const dnnl::pooling_forward::primitive_desc desc({dnnl::prop_kind::forward_inference,
                                                    dnnl::algorithm::pooling_max,
                                                    x,
                                                    y,
                                                    {2, 2},
                                                    {2, 2},
                                                    {0, 0},
                                                    {0, 0}},
                                                   engine());
  return call(dnnl::pooling_forward(desc),
              {{DNNL_ARG_SRC, argument(x, op.in[0])}, {DNNL_ARG_DST, argument(y, op.out[0])}});
}

std::function<void()> batch_norm(const Elementwise& op, const memory::desc& x) {
  const auto flags = dnnl::normalization_flags::use_scale | dnnl::normalization_flags::use_shift;
  const dnnl::batch_normalization_forward::primitive_desc desc(
      {dnnl::prop_kind::forward_training, x, 1e-5f, flags}, engine());
  const memory::desc channel({op.c}, memory::data_type::f32, memory::format_tag::a);
  return call(dnnl::batch_normalization_forward(desc), {{DNNL_ARG_SRC, argument(x, op.in[0])},
                                                        {DNNL_ARG_SCALE, argument(channel, op.in[1])},
                                                        {DNNL_ARG_SHIFT, argument(channel, op.in[2])},
                                                        {DNNL_ARG_MEAN, memory(channel, engine())},
                                                        {DNNL_ARG_VARIANCE, memory(channel, engine())},
                                                        {DNNL_ARG_DST, argument(x, op.out[0])}});
}

std::function<void()> layer_norm(const Elementwise& op) {
  const memory::desc x({op.n * op.c * op.h, op.w}, memory::data_type::f32, memory::format_tag::ab),
      weight({op.w}, memory::data_type::f32, memory::format_tag::a),
      statistics({op.n * op.c * op.h}, memory::data_type::f32, memory::format_tag::a);
  const auto flags = dnnl::normalization_flags::use_scale | dnnl::normalization_flags::use_shift;
  const dnnl::layer_normalization_forward::primitive_desc desc(
      {dnnl::prop_kind::forward_training, x, statistics, 1e-5f, flags}, engine());
  return call(dnnl::layer_normalization_forward(desc), {{DNNL_ARG_SRC, argument(x, op.in[0])},
                                                        {DNNL_ARG_SCALE, argument(weight, op.in[1])},
                                                        {DNNL_ARG_SHIFT, argument(weight, op.in[2])},
                                                        {DNNL_ARG_MEAN, memory(statistics, engine())},
                                                        {DNNL_ARG_VARIANCE, memory(statistics, engine())},
                                                        {DNNL_ARG_DST, argument(x, op.out[0])}});
}

std::function<void()> softmax(const Elementwise& op) {
  const memory::desc x({op.n * op.c * op.h, op.w}, memory::data_type::f32, memory::format_tag::ab);
  const dnnl::softmax_forward::primitive_desc desc({dnnl::prop_kind::forward_inference, x, 1}, engine());
  return call(dnnl::softmax_forward(desc),
              {{DNNL_ARG_SRC, argument(x, op.in[0])}, {DNNL_ARG_DST, argument(x, op.out[0])}});
}

std::function<void()> elementwise(const Elementwise& op, int) {
  const memory::desc x = plain({op.n, op.c, op.h, op.w});
  if (op.op == "relu") return eltwise(op, x, dnnl::algorithm::eltwise_relu);
  if (op.op == "gelu") return eltwise(op, x, dnnl::algorithm::eltwise_gelu_erf);
  if (op.op == "max pool") return max_pool(op, x);
  if (op.op == "batch norm") return batch_norm(op, x);
  if (op.op == "layer norm") return layer_norm(op);
  if (op.op == "softmax") return softmax(op);
  return {};
}

const Registered<Peer> kOneDnn{"onednn", {version, omp_set_num_threads, gemm, conv2d, elementwise}};

}  // namespace
}  // namespace faultline::bench
