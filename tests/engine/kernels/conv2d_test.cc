#include "engine/kernels/conv2d.h"

#include <catch2/catch.hpp>
#include <functional>

#include "engine/base/cpu.h"
#include "engine/base/error.h"
#include "engine/base/parallel.h"
#include "tests/engine/kernels/reference_sum.h"

namespace faultline {
namespace {

using namespace reference;

struct Case {
  Conv2dShape s;
  Dtype in = Dtype::kF32, out = Dtype::kF32;
  Fill fill = Fill::kReals;
  Arithmetic how = {};
  bool bias = false;
};

std::string text(const Case& c) {
  const Conv2dShape& s = c.s;
  std::string text = c.how.unit + " " + name(c.in) + " -> " + name(c.out);
  for (int64_t size : {s.N, s.C, s.H, s.W, s.OC, s.KH, s.KW, s.stride_h, s.stride_w, s.pad_h, s.pad_w}) {
    text += " " + std::to_string(size);
  }
  return text + " " + instruction_set() + " threads " + std::to_string(threads());
}

struct Arrays {
  explicit Arrays(const Case& c)
      : x(c.s.N * c.s.C * c.s.H * c.s.W, c.in, c.fill, 1),
        w(c.s.OC * c.s.C * c.s.KH * c.s.KW, c.in, c.fill, 2),
        dy(c.s.N * c.s.OC * c.s.OH() * c.s.OW(), c.in, c.fill, 3),
        bias(c.s.OC, Dtype::kF32, Fill::kReals, 4) {}
  Values x, w, dy, bias;
};

ConstArray in(const Values& values) { return {values.bytes.data(), values.dtype}; }

struct Results {
  explicit Results(const Case& c)
      : y(c.s.N * c.s.OC * c.s.OH() * c.s.OW(), c.out),
        dx(c.s.N * c.s.C * c.s.H * c.s.W, c.out),
        dw(c.s.OC * c.s.C * c.s.KH * c.s.KW, c.out) {}
  Values y, dx, dw;
};

Results run(const Case& c, const Arrays& a) {
  Results r(c);
  const float* bias = c.bias ? reinterpret_cast<const float*>(a.bias.bytes.data()) : nullptr;
  conv2d_forward("conv2d", c.s, in(a.x), in(a.w), bias, {r.y.bytes.data(), c.out}, c.how);
  conv2d_dx("conv2d", c.s, in(a.dy), in(a.w), {r.dx.bytes.data(), c.out}, c.how);
  conv2d_dw("conv2d", c.s, in(a.x), in(a.dy), {r.dw.bytes.data(), c.out}, c.how);
  return r;
}

// Element [n, c, h, w], or +0 outside.
float element(const Values& v, const Arithmetic& how, int64_t C, int64_t H, int64_t W, int64_t n, int64_t c,
              int64_t h, int64_t w) {
  return h < 0 || h >= H || w < 0 || w >= W ? 0.0f : v.at(((n * C + c) * H + h) * W + w, how);
}

Values expected_y(const Case& c, const Arrays& a) {
  const auto& s = c.s;
  Values out(s.N * s.OC * s.OH() * s.OW(), c.out);
  int64_t i = 0;
  for (int64_t n = 0; n < s.N; ++n)
    for (int64_t oc = 0; oc < s.OC; ++oc)
      for (int64_t oh = 0; oh < s.OH(); ++oh)
        for (int64_t ow = 0; ow < s.OW(); ++ow) {
          std::vector<Term> terms;
          for (int64_t ch = 0; ch < s.C; ++ch)
            for (int64_t kh = 0; kh < s.KH; ++kh)
              for (int64_t kw = 0; kw < s.KW; ++kw) {
                terms.emplace_back(element(a.x, c.how, s.C, s.H, s.W, n, ch, oh * s.stride_h + kh - s.pad_h,
                                           ow * s.stride_w + kw - s.pad_w),
                                   element(a.w, c.how, s.C, s.KH, s.KW, oc, ch, kh, kw));
              }
          float sum = reference::sum(terms, 0, c.how, c.in, c.out);
          if (c.bias) sum += a.bias.at(oc);
          out.set(i++, sum);
        }
  return out;
}

Values expected_dx(const Case& c, const Arrays& a) {
  const auto& s = c.s;
  Values out(s.N * s.C * s.H * s.W, c.out);
  int64_t i = 0;
  for (int64_t n = 0; n < s.N; ++n)
    for (int64_t ch = 0; ch < s.C; ++ch)
      for (int64_t h = 0; h < s.H; ++h)
        for (int64_t w = 0; w < s.W; ++w) {
          std::vector<Term> terms;
          for (int64_t oc = 0; oc < s.OC; ++oc)
            for (int64_t kh = 0; kh < s.KH; ++kh)
              for (int64_t kw = 0; kw < s.KW; ++kw) {
                const int64_t u = h + s.pad_h - kh, v = w + s.pad_w - kw;
                if (u % s.stride_h != 0 || v % s.stride_w != 0) continue;
                terms.emplace_back(
                    element(a.dy, c.how, s.OC, s.OH(), s.OW(), n, oc, u / s.stride_h, v / s.stride_w),
                    element(a.w, c.how, s.C, s.KH, s.KW, oc, ch, kh, kw));
              }
          out.set(i++, reference::sum(terms, 0, c.how, c.in, c.out));
        }
  return out;
}

Values expected_dw(const Case& c, const Arrays& a) {
  const auto& s = c.s;
  Values out(s.OC * s.C * s.KH * s.KW, c.out);
  int64_t i = 0;
  for (int64_t oc = 0; oc < s.OC; ++oc)
    for (int64_t ch = 0; ch < s.C; ++ch)
      for (int64_t kh = 0; kh < s.KH; ++kh)
        for (int64_t kw = 0; kw < s.KW; ++kw) {
          std::vector<Term> terms;
          for (int64_t n = 0; n < s.N; ++n)
            for (int64_t oh = 0; oh < s.OH(); ++oh)
              for (int64_t ow = 0; ow < s.OW(); ++ow) {
                terms.emplace_back(element(a.dy, c.how, s.OC, s.OH(), s.OW(), n, oc, oh, ow),
                                   element(a.x, c.how, s.C, s.H, s.W, n, ch, oh * s.stride_h + kh - s.pad_h,
                                           ow * s.stride_w + kw - s.pad_w));
              }
          out.set(i++, reference::sum(terms, 8 * s.OH() * s.OW(), c.how, c.in, c.out));
        }
  return out;
}

void check(const Case& c) {
  const Arrays arrays(c);
  const Results got = run(c, arrays);
  INFO(text(c));
  CHECK(differences(got.y, expected_y(c, arrays)) == 0);
  CHECK(differences(got.dx, expected_dx(c, arrays)) == 0);
  CHECK(differences(got.dw, expected_dw(c, arrays)) == 0);
}

const Conv2dShape kLenet1{10, 1, 28, 28, 6, 5, 5, 1, 1, 2, 2}, kLenet2{10, 6, 14, 14, 16, 5, 5};

// Strides 1, 2, 3, paddings, a stride beyond the kernel, kernels as large as the image, one pixel.
const Conv2dShape kShapes[] = {
    {2, 3, 9, 7, 4, 3, 3, 1, 1, 1, 1},    {3, 2, 8, 11, 7, 3, 2, 2, 2, 0, 1},
    {2, 3, 10, 10, 5, 4, 5, 3, 2, 2, 3},  {1, 1, 7, 7, 1, 7, 7, 1, 1, 0, 0},
    {9, 4, 5, 6, 17, 1, 1, 1, 1, 0, 0},   {2, 4, 9, 9, 3, 1, 1, 2, 3, 0, 0},
    {2, 2, 5, 4, 3, 2, 2, 4, 5, 1, 1},    {1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0},
    {2, 1, 3, 3, 2, 3, 3, 1, 1, 4, 5},    {17, 2, 6, 5, 9, 3, 3, 2, 1, 1, 1},
    {1, 60, 6, 6, 25, 3, 3, 1, 1, 1, 1},  {1, 3, 40, 60, 2, 2, 3, 1, 1, 0, 1},
    {2, 16, 9, 17, 40, 3, 5, 1, 1, 1, 2}, {2, 33, 11, 31, 16, 3, 3, 2, 1, 1, 1},
};

TEST_CASE("conv2d: forward, dx and dw equal the scalar definition for every stride and padding") {
  for (const Conv2dShape& shape : kShapes) check({shape});
}

TEST_CASE("conv2d: the shapes of lenet equal the scalar definition") {
  check({kLenet1, Dtype::kF32, Dtype::kF32, Fill::kReals, {}, true});
  check({kLenet2, Dtype::kBf16, Dtype::kBf16, Fill::kReals, {}, true});
}

TEST_CASE("conv2d: every format in and out") {
  for (Dtype in : {Dtype::kF32, Dtype::kF16, Dtype::kBf16}) {
    for (Dtype out : {Dtype::kF32, Dtype::kF16, Dtype::kBf16}) {
      check({kShapes[0], in, out, Fill::kReals, {}, true});
      check({kShapes[2], in, out});
    }
  }
}

TEST_CASE("conv2d: f32 operands round to tf32 in each way") {
  for (Tf32Rounding rounding : {Tf32Rounding::kRna, Tf32Rounding::kRne, Tf32Rounding::kTruncate}) {
    Case c{kShapes[1]};
    c.how.tf32 = true;
    c.how.tf32_rounding = rounding;
    check(c);
  }
}

TEST_CASE("conv2d: NaN, infinities, -0 and subnormals follow the definition") {
  for (const Conv2dShape& shape : kShapes) check({shape, Dtype::kF32, Dtype::kF32, Fill::kSpecials});
  check({kShapes[0], Dtype::kF16, Dtype::kF16, Fill::kSpecials});
}

// Many small images, whose samples, or the two halves of them, lie side by side in vectors: blocks of k, a stride, a
// last group of few samples, one channel.
const Conv2dShape kManySamples[] = {{125, 3, 6, 6, 30, 5, 5, 1, 1, 2, 2},
                                    {64, 6, 7, 8, 9, 5, 5, 1, 1, 0, 0},
                                    {120, 2, 5, 6, 8, 5, 5, 2, 1, 2, 2},
                                    {32, 1, 12, 13, 7, 3, 5},
                                    {16, 2, 5, 5, 1, 2, 2, 2, 1, 0, 1}};

TEST_CASE("conv2d: many small images equal the scalar definition") {
  for (const Conv2dShape& shape : kManySamples) {
    for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16})
      check({shape, dtype, dtype, Fill::kReals, {}, true});
    check({shape, Dtype::kF32, Dtype::kF32, Fill::kSpecials});
    Case c{shape, Dtype::kF16, Dtype::kF16};
    c.how.accumulate = Dtype::kF16;
    check(c);
    c.how.split_k = 3;
    check(c);
  }
}

TEST_CASE("conv2d: many small images with special values, but finite weights, equal the scalar definition") {
  for (const Conv2dShape& shape : kManySamples) {
    const Case c{shape, Dtype::kF32, Dtype::kF32, Fill::kSpecials};
    Arrays a(c);
    a.w = Arrays(Case{shape}).w;
    const Results r = run(c, a);
    CHECK(differences(r.y, expected_y(c, a)) == 0);
    CHECK(differences(r.dx, expected_dx(c, a)) == 0);
    CHECK(differences(r.dw, expected_dw(c, a)) == 0);
  }
}

TEST_CASE("conv2d: in many images too a padding tap makes an infinite weight NaN, and -0 +0") {
  const Case c{{64, 8, 4, 4, 2, 5, 5, 1, 1, 2, 2}};
  Arrays a(c);
  a.w.set(0, INFINITY);
  CHECK(differences(run(c, a).y, expected_y(c, a)) == 0);
  for (int64_t i = 0; i < 2 * 8 * 25; ++i) a.w.set(i, 1e-30);
  for (int64_t i = 0; i < 64 * 8 * 16; ++i) a.x.set(i, -1e-30);
  const Results r = run(c, a);
  CHECK(std::signbit(r.y.at(0)));  // ends with taps of the image
  CHECK_FALSE(std::signbit(r.y.at(15)));
  CHECK(differences(r.y, expected_y(c, a)) == 0);
}

TEST_CASE("conv2d: a padding tap takes part, so an infinite weight makes NaN at the border alone") {
  Case c{{1, 1, 3, 3, 1, 3, 3, 1, 1, 1, 1}};
  Arrays a(c);
  for (int64_t i = 0; i < 9; ++i) {
    a.x.set(i, 1);
    a.dy.set(i, 1);
    a.w.set(i, i == 0 ? INFINITY : 1);
  }
  const Results r = run(c, a);
  CHECK(std::isnan(r.y.at(0)));
  CHECK(std::isinf(r.y.at(4)));
  CHECK(std::isnan(r.dx.at(8)));
  CHECK(std::isinf(r.dx.at(4)));
}

TEST_CASE("conv2d: a padding tap is +0, so a sum that underflowed to -0 becomes +0") {
  Case c{{1, 1, 1, 1, 1, 1, 2, 1, 1, 0, 1}};
  Arrays a(c);
  a.x.set(0, -1e-30);
  a.w.set(0, 1e-30);
  a.w.set(1, 1);
  const Results r = run(c, a);
  CHECK(r.y.at(1) == 0);
  CHECK_FALSE(std::signbit(r.y.at(1)));
}

TEST_CASE("conv2d: an f16 accumulator rounds every step") {
  for (Fill fill : {Fill::kReals, Fill::kSpecials}) {
    for (int shape : {0, 1, 9, 10, 12}) {
      Case c{kShapes[shape], Dtype::kF16, Dtype::kF16, fill};
      c.how.accumulate = Dtype::kF16;
      check(c);
    }
  }
}

TEST_CASE("conv2d: split_k adds its parts in f32 or in the output type") {
  for (bool in_output : {false, true}) {
    for (Dtype out : {Dtype::kF32, Dtype::kBf16}) {
      Case c{kShapes[9], Dtype::kBf16, out};
      c.how.split_k = 3;
      c.how.split_reduce_in_output = in_output;
      check(c);
    }
  }
}

TEST_CASE("conv2d: shuffled changes dw alone, and its seed repeats it") {
  Case c{kLenet2};
  const Arrays arrays(c);
  const Results ordered = run(c, arrays);
  c.how.order = Order::kShuffled;
  c.how.order_seed = 1;
  const Results one = run(c, arrays), again = run(c, arrays);
  c.how.order_seed = 2;
  const Results other = run(c, arrays);
  CHECK(differences(one.y, ordered.y) == 0);
  CHECK(differences(one.dx, ordered.dx) == 0);
  CHECK(differences(one.dw, again.dw) == 0);
  CHECK(differences(one.dw, ordered.dw) > 0);
  CHECK(differences(one.dw, other.dw) > 0);
}

TEST_CASE("conv2d: small integers are exact on every unit") {
  for (const std::string unit : {"fma", "eigen"}) {
    for (const Conv2dShape& shape : kShapes) {
      Case c{shape, Dtype::kF32, Dtype::kF32, Fill::kIntegers};
      c.how.unit = unit;
      check(c);
      c.how.split_k = 2;
      check(c);
    }
  }
}

// Under every instruction set of this machine and 1, 2, 3 and 8 threads.
void check_everywhere(const Case& c) {
  const Arrays arrays(c);
  const Values y = expected_y(c, arrays), dx = expected_dx(c, arrays), dw = expected_dw(c, arrays);
  for (const std::string& set : instruction_sets()) {
    set_instruction_set(set);
    for (int count : {1, 2, 3, 8}) {
      set_threads(count);
      const Results got = run(c, arrays);
      INFO(text(c));
      CHECK(differences(got.y, y) == 0);
      CHECK(differences(got.dx, dx) == 0);
      CHECK(differences(got.dw, dw) == 0);
    }
  }
  set_instruction_set("");
  set_threads(1);
}

TEST_CASE("conv2d: bits do not depend on instruction set or threads") {
  const Case cases[] = {{kLenet1, Dtype::kF32, Dtype::kF32, Fill::kReals, {}, true},
                        {kLenet2, Dtype::kF16, Dtype::kF16},
                        {kShapes[2]},
                        {kShapes[9]},
                        {kManySamples[0]},
                        {kManySamples[3]}};
  for (const Case& c : cases) check_everywhere(c);
}

TEST_CASE("conv2d: a chip's are its plain model's, under every instruction set and number of threads") {
  struct Chip {
    const char* unit;
    Dtype in;
    bool tf32;
    Dtype accumulate;
  };
  const Chip chips[] = {
      {"v100", Dtype::kF16, false, Dtype::kF32},  {"a100", Dtype::kF16, false, Dtype::kF32},
      {"a100", Dtype::kF32, true, Dtype::kF32},   {"h100", Dtype::kF16, false, Dtype::kF32},
      {"h100", Dtype::kBf16, false, Dtype::kF32}, {"h100", Dtype::kF16, false, Dtype::kF16}};
  for (const Chip& chip : chips) {
    // The last in groups of 48, 24 and 16 samples.
    for (const Conv2dShape& shape : {kShapes[2], kShapes[9], Conv2dShape{11, 2, 9, 8, 5, 3, 3},
                                     Conv2dShape{48, 2, 5, 6, 3, 3, 2, 2, 1, 1, 1}}) {
      for (KPlanRule k_plan : {KPlanRule::kChain, KPlanRule::kLeaf}) {
        Case c{shape, chip.in, chip.in, k_plan == KPlanRule::kLeaf ? Fill::kSpecials : Fill::kReals};
        c.how.unit = chip.unit;
        c.how.tf32 = chip.tf32;
        c.how.accumulate = chip.accumulate;
        c.how.k_plan = k_plan;
        check_everywhere(c);
        c.how.split_k = 2;
        check_everywhere(c);
      }
    }
  }
}

TEST_CASE("conv2d: eigen's bits do not depend on threads") {
  Case c{kLenet2};
  c.how.unit = "eigen";
  const Arrays arrays(c);
  const Results one = run(c, arrays);
  set_threads(3);
  const Results three = run(c, arrays);
  set_threads(1);
  CHECK(differences(three.y, one.y) == 0);
  CHECK(differences(three.dx, one.dx) == 0);
  CHECK(differences(three.dw, one.dw) == 0);
}

TEST_CASE("conv2d: each kernel runs on two threads") {
  set_threads(2);
  for (const std::string unit : {"fma", "h100"}) {
    Case c{{8, 6, 14, 14, 16, 5, 5}, Dtype::kF16, Dtype::kF16};
    c.how.unit = unit;
    const Arrays arrays(c);
    reset_threads_used();
    run(c, arrays);
    INFO(unit);
    for (const char* kernel : {"conv2d_forward", "conv2d_dx", "conv2d_dw"}) {
      CHECK(threads_used()[kernel] == 2);
    }
  }
  set_threads(1);
}

TEST_CASE("conv2d: an empty batch writes no output and a dw of +0") {
  const Case c{{0, 2, 4, 4, 3, 3, 3}};
  const Results r = run(c, Arrays(c));
  for (int64_t i = 0; i < r.dw.size(); ++i) CHECK((r.dw.at(i) == 0 && !std::signbit(r.dw.at(i))));
}

TEST_CASE("conv2d: sizes and formats that do not fit are refused by name") {
  float value = 0;
  const ConstArray f32{&value, Dtype::kF32}, f16{&value, Dtype::kF16};
  const Array out{&value, Dtype::kF32};
  CHECK_THROWS_WITH(
      conv2d_forward("conv2d", {1, 1, 2, 2, 1, 3, 3}, f32, f32, nullptr, out, {}),
      Catch::Contains("x [1, 1, 2, 2], w [1, 1, 3, 3], stride [1, 1], padding [0, 0]: no output"));
  CHECK_THROWS_WITH(conv2d_dw("conv2d", {1, 1, 3, 3, 1, 3, 3}, f32, f16, out, {}),
                    Catch::Contains("f32 and f16"));
  CHECK_THROWS_WITH(conv2d_dx("conv2d", {1, 1, 3, 3, 1, 3, 3, 0}, f32, f32, out, {}),
                    Catch::Contains("stride [0, 1]"));
}

}  // namespace
}  // namespace faultline
