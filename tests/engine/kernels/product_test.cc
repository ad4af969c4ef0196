#include "engine/kernels/product.h"

#include <catch2/catch.hpp>

#include "engine/base/cpu.h"
#include "engine/base/error.h"
#include "engine/base/parallel.h"
#include "engine/mma/k_plan.h"
#include "tests/engine/kernels/reference_sum.h"

namespace faultline {
namespace {

using namespace reference;

struct Case {
  int64_t M, N, K;
  Dtype in = Dtype::kF32, out = Dtype::kF32;
  bool a_transposed = false, b_transposed = false;
  bool bias_n = false, bias_m = false;
  int64_t k_per_leaf = 0;
  Fill fill = Fill::kReals;
  Arithmetic how = {};
};

std::string text(const Case& c) {
  return std::to_string(c.M) + " x " + std::to_string(c.N) + " x " + std::to_string(c.K) + " " + name(c.in) +
         " -> " + name(c.out) + (c.a_transposed ? " aT" : "") + (c.b_transposed ? " bT" : "") + " leaf " +
         std::to_string(c.k_per_leaf) + " split " + std::to_string(c.how.split_k) + " " + c.how.unit +
         " fill " + std::to_string(static_cast<int>(c.fill)) + " " + instruction_set() + " threads " +
         std::to_string(threads());
}

// Element (i, j) of a rows x cols operand lies at i * row + j * col, with a gap between lines.
struct Strides {
  Strides(int64_t rows, int64_t cols, bool transposed)
      : row(transposed ? 1 : cols + 3), col(transposed ? rows + 2 : 1), size(rows * row + cols * col) {}
  int64_t row, col, size;
};

struct Operands {
  explicit Operands(const Case& c)
      : a_at(c.M, c.K, c.a_transposed),
        b_at(c.K, c.N, c.b_transposed),
        a(a_at.size, c.in, c.fill, 1),
        b(b_at.size, c.in, c.fill, 2),
        bias_n(c.N, Dtype::kF32, c.fill == Fill::kSpecials ? Fill::kReals : c.fill, 3),
        bias_m(c.M, Dtype::kF32, c.fill == Fill::kSpecials ? Fill::kReals : c.fill, 4) {}
  Strides a_at, b_at;
  Values a, b, bias_n, bias_m;
};

Values run(const Case& c, const Operands& o) {
  Values out(c.M * c.N, c.out);
  ProductArgs args{c.M,
                   c.N,
                   c.K,
                   {o.a.bytes.data(), c.in, o.a_at.row, o.a_at.col},
                   {o.b.bytes.data(), c.in, o.b_at.row, o.b_at.col}};
  if (c.bias_n) args.bias_n = reinterpret_cast<const float*>(o.bias_n.bytes.data());
  if (c.bias_m) args.bias_m = reinterpret_cast<const float*>(o.bias_m.bytes.data());
  args.out = out.bytes.data();
  args.out_dtype = c.out;
  args.out_row_stride = c.N;
  args.k_per_leaf = c.k_per_leaf;
  args.gradient_sum = c.k_per_leaf > 0;
  args.arithmetic = c.how;
  product("matmul", args);
  return out;
}

Values expected(const Case& c, const Operands& o) {
  Values out(c.M * c.N, c.out);
  for (int64_t m = 0; m < c.M; ++m) {
    for (int64_t n = 0; n < c.N; ++n) {
      std::vector<Term> terms;
      for (int64_t k = 0; k < c.K; ++k) {
        terms.emplace_back(o.a.at(m * o.a_at.row + k * o.a_at.col, c.how),
                           o.b.at(k * o.b_at.row + n * o.b_at.col, c.how));
      }
      float sum = reference::sum(terms, c.k_per_leaf, c.how, c.in, c.out);
      if (c.bias_m) sum += o.bias_m.at(m);
      if (c.bias_n) sum += o.bias_n.at(n);
      out.set(m * c.N + n, sum);
    }
  }
  return out;
}

void check(const Case& c) {
  const Operands operands(c);
  INFO(text(c));
  CHECK(differences(run(c, operands), expected(c, operands)) == 0);
}

// Under every instruction set of this machine and 1, 2, 3 and 8 threads.
void check_everywhere(const Case& c) {
  const Operands operands(c);
  const Values want = expected(c, operands);
  for (const std::string& set : instruction_sets()) {
    set_instruction_set(set);
    for (int count : {1, 2, 3, 8}) {
      set_threads(count);
      INFO(text(c));
      CHECK(differences(run(c, operands), want) == 0);
    }
  }
  set_instruction_set("");
  set_threads(1);
}

TEST_CASE("product: equals the scalar definition for every transpose, odd shapes and every block border") {
  for (int64_t K : {0, 1, 2, 511, 512, 513, 1100}) {
    for (int transposed = 0; transposed < 4; ++transposed) {
      Case c{7, 19, K};
      c.a_transposed = transposed & 1;
      c.b_transposed = transposed & 2;
      check(c);
    }
  }
  for (int64_t M : {1, 5, 6, 13, 25}) {
    for (int64_t N : {1, 7, 8, 9, 16, 17, 33}) check({M, N, 30});
  }
}

TEST_CASE("product: tiles do not change an output") {
  check({200, 300, 40});
  Case c{101, 530, 530};
  c.bias_n = true;
  check(c);
}

TEST_CASE("product: leaves of any length join by the tree") {
  for (int64_t per_leaf : {1, 8, 40, 600, 2000}) {
    Case c{9, 21, 1100};
    c.k_per_leaf = per_leaf;
    check(c);
    c.K = 1037;
    check(c);
  }
}

TEST_CASE("product: every format in and out, with biases added in f32") {
  for (Dtype in : {Dtype::kF32, Dtype::kF16, Dtype::kBf16}) {
    for (Dtype out : {Dtype::kF32, Dtype::kF16, Dtype::kBf16}) {
      for (Fill fill : {Fill::kReals, Fill::kSpecials}) {
        Case c{11, 21, 130, in, out, true, true};
        c.fill = fill;
        check(c);
        c.bias_n = true;
        check(c);
        c.bias_m = true;
        c.b_transposed = false;
        check(c);
      }
    }
  }
}

TEST_CASE("product: f32 operands round to tf32 in each way") {
  for (Tf32Rounding rounding : {Tf32Rounding::kRna, Tf32Rounding::kRne, Tf32Rounding::kTruncate}) {
    for (Fill fill : {Fill::kReals, Fill::kSpecials}) {
      Case c{13, 17, 70};
      c.fill = fill;
      c.how.tf32 = true;
      c.how.tf32_rounding = rounding;
      check(c);
      c.in = Dtype::kBf16;  // already a tf32
      check(c);
    }
  }
}

TEST_CASE("product: an f16 accumulator rounds every step") {
  for (Fill fill : {Fill::kReals, Fill::kSpecials}) {
    for (int64_t K : {0, 1, 33, 1100}) {
      Case c{9, 19, K, Dtype::kF16, Dtype::kF16};
      c.how.accumulate = Dtype::kF16;
      c.fill = fill;
      check(c);
      c.out = Dtype::kF32;
      c.bias_n = true;
      c.k_per_leaf = 600;
      check(c);
    }
  }
}

TEST_CASE("product: split_k adds its parts in f32 or in the output type") {
  for (int parts : {2, 3, 7, 200}) {
    for (bool in_output : {false, true}) {
      for (Dtype out : {Dtype::kF32, Dtype::kF16, Dtype::kBf16}) {
        Case c{5, 18, 1300, Dtype::kBf16, out};
        c.how.split_k = parts;
        c.how.split_reduce_in_output = in_output;
        c.k_per_leaf = 8;
        check(c);
      }
    }
  }
}

TEST_CASE("product: shuffled adds blocks of 256 in the plan's order, for gradient sums alone") {
  Case c{3, 10, 2000};
  c.how.order = Order::kShuffled;
  c.how.order_seed = 7;
  check(c);  // not a gradient sum: the definition
  c.k_per_leaf = 80;
  const Operands operands(c);
  const KPlan plan = plan_k(c.K, c.k_per_leaf, true, c.how);
  Values want(c.M * c.N, c.out);
  const auto term = [&](int64_t i, int64_t k) {
    return Term(operands.a.at(i / c.N * operands.a_at.row + k),
                operands.b.at(k * operands.b_at.row + i % c.N));
  };
  for (int64_t i = 0; i < c.M * c.N; ++i) {
    float sum = 0;
    bool first = true;
    for (const KPlan::Range& range : plan.leaves.at(0)) {
      std::vector<Term> terms;
      for (int64_t k = range.begin; k < range.end; ++k) terms.push_back(term(i, k));
      const float block = chain(terms, 0, terms.size(), Dtype::kF32);
      sum = first ? block : sum + block;
      first = false;
    }
    want.set(i, sum);
  }
  CHECK(differences(run(c, operands), want) == 0);
  const Values one = run(c, operands);
  c.how.order_seed = 8;
  CHECK(differences(run(c, operands), one) > 0);
}

TEST_CASE("product: NaN, infinities, -0 and subnormals follow the definition") {
  for (int64_t K : {1, 3, 40, 600}) {
    Case c{25, 35, K};
    c.fill = Fill::kSpecials;
    check(c);
  }
}

TEST_CASE("product: small integers are exact in any order") {
  for (const std::string unit : {"fma", "eigen"}) {
    for (Dtype in : {Dtype::kF32, Dtype::kF16, Dtype::kBf16}) {
      Case c{33, 70, 90, in};
      c.fill = Fill::kIntegers;
      c.how.unit = unit;
      c.bias_n = true;
      check(c);
      c.how.split_k = 3;
      check(c);
    }
  }
}

TEST_CASE("product: another unit takes the whole k at once and splits it alike") {
  // |got - exact| <= gamma(K + 1) * sum|a||b|, and the reference is as near.
  Case c{20, 30, 700};
  c.how.unit = "eigen";
  for (int parts : {1, 3}) {
    c.how.split_k = parts;
    const Operands o(c);
    const Values got = run(c, o), want = expected(c, o);
    for (int64_t i = 0; i < c.M * c.N; ++i) {
      double magnitude = 0;
      for (int64_t k = 0; k < c.K; ++k) {
        magnitude += std::fabs(double{o.a.at(i / c.N * o.a_at.row + k)} * o.b.at(k * o.b_at.row + i % c.N));
      }
      const double u = unit_roundoff(Dtype::kF32) * static_cast<double>(c.K + 1), gamma = u / (1 - u);
      CHECK(std::fabs(double{got.at(i)} - want.at(i)) <= 2 * gamma * magnitude);
    }
  }
}

TEST_CASE("product: bits do not depend on instruction set or threads") {
  check_everywhere({150, 170, 600});
  Case gradient{20, 30, 3000, Dtype::kBf16, Dtype::kBf16, true};
  gradient.k_per_leaf = 100;
  check_everywhere(gradient);
  Case small{3, 5, 9000};
  small.how.split_k = 5;
  check_everywhere(small);
  Case f16{64, 84, 120, Dtype::kF16, Dtype::kF16, false, true, true};
  check_everywhere(f16);
}

TEST_CASE("product: every storage order, whichever operand is packed, as a whole, by tiles or not") {
  for (const Case& shape : {Case{300, 140, 530}, Case{5, 37, 700}, Case{37, 5, 700}, Case{64, 10, 128},
                            Case{20, 300, 300}, Case{64, 130, 1100}, Case{490, 33, 520}, Case{30, 400, 600},
                            Case{64, 576, 300}, Case{70, 330, 1030}, Case{130, 512, 530}}) {
    for (int order = 0; order < 4; ++order) {
      Case c = shape;
      c.a_transposed = order & 1;
      c.b_transposed = order & 2;
      c.bias_n = true;
      if (c.K == 1100) c.k_per_leaf = 100;
      check_everywhere(c);
      c.how.split_k = 3;
      check(c);
    }
  }
}

TEST_CASE("product: ranges of k that threads share, in f32 and by way of other formats, turned or not") {
  for (const Case& c : {Case{12, 700, 8300}, Case{700, 12, 8300, Dtype::kF32, Dtype::kF32, true},
                        Case{12, 700, 8300, Dtype::kBf16, Dtype::kBf16, false, true, true}}) {
    check_everywhere(c);
  }
}

// Settings of the chips, with the formats that tensors hold.
struct Chip {
  const char* unit;
  Dtype in;
  bool tf32 = false;
  Dtype accumulate = Dtype::kF32;
};
const Chip kChips[] = {{"v100", Dtype::kF16},       {"v100", Dtype::kF16, false, Dtype::kF16},
                       {"a100", Dtype::kBf16},      {"a100", Dtype::kF32, true},
                       {"h100", Dtype::kF16},       {"h100", Dtype::kBf16},
                       {"h100", Dtype::kF32, true}, {"h100", Dtype::kF16, false, Dtype::kF16}};

TEST_CASE("product: a chip's is its plain model's, under every instruction set and number of threads") {
  for (const Chip& chip : kChips) {
    for (Fill fill : {Fill::kReals, Fill::kSpecials}) {
      Case c{37, 83, 203, chip.in, chip.in, true, true, true, false, 40, fill};
      c.how.unit = chip.unit;
      c.how.tf32 = chip.tf32;
      c.how.accumulate = chip.accumulate;
      check_everywhere(c);
      c.how.k_plan = KPlanRule::kLeaf;
      check_everywhere(c);
      c.a_transposed = c.b_transposed = false;
      c.how.split_k = 3;
      c.how.split_reduce_in_output = true;
      check_everywhere(c);
    }
  }
}

TEST_CASE("product: a chip's runs on two threads") {
  set_threads(2);
  Case c{64, 120, 256, Dtype::kF16, Dtype::kF16, true};
  c.how.unit = "h100";
  reset_threads_used();
  run(c, Operands(c));
  CHECK(threads_used()["product"] == 2);
  set_threads(1);
}

TEST_CASE("product: runs on two threads, over tiles or over k") {
  set_threads(2);
  for (const Case& c : {Case{400, 400, 100}, Case{4, 4, 100000}}) {
    reset_threads_used();
    run(c, Operands(c));
    CHECK(threads_used()["product"] == 2);
    if (c.M > 4) CHECK(threads_used()["product.pack"] == 2);  // one tile packs as it goes
  }
  set_threads(1);
}

TEST_CASE("product: no rows, no columns") {
  check({0, 5, 3});
  check({5, 0, 3});
}

TEST_CASE("product: formats that do not fit are refused by name") {
  Case c{2, 2, 2, Dtype::kF64};
  CHECK_THROWS_WITH(run(c, Operands(c)), Catch::Contains("matmul: a product of f64 and f64 in f32"));
  c.in = Dtype::kF32;
  c.how.accumulate = Dtype::kF16;
  CHECK_THROWS_WITH(run(c, Operands(c)), Catch::Contains("unit fma has no product f32 -> f16"));
}

}  // namespace
}  // namespace faultline
