#include "harness/parting.h"

#include <catch2/catch.hpp>
#include <random>

#include "engine/numerics/exact_sum.h"

namespace faultline::harness {
namespace {

constexpr int64_t kRows = 9, kIn = 700, kOut = 3;

Tensor random_tensor(const Shape& shape, Dtype dtype, std::mt19937& random) {
  std::normal_distribution<double> normal;
  std::vector<double> values(static_cast<size_t>(element_count(shape)));
  for (double& v : values) v = normal(random);
  return Tensor::from(shape, dtype, values);
}

Recorded recorded_linear(Dtype dtype, bool tf32, std::mt19937& random) {
  Recorded r;
  r.op = &Registry<OpDef>::instance().find("linear");
  r.call.inputs = {random_tensor({kRows, kIn}, dtype, random), random_tensor({kOut, kIn}, dtype, random),
                   random_tensor({kOut}, dtype, random)};
  r.call.arithmetic.tf32 = tf32;
  r.outputs = r.evaluate_kernels();
  return r;
}

double operand(const Recorded& r, size_t input, int64_t index) {
  const double value = r.call.inputs[input].at(index);
  return r.call.arithmetic.tf32 ? tf32_from_f32(static_cast<float>(value), Tf32Rounding::kRna) : value;
}

TEST_CASE("exact value: equals the correctly rounded sum far below one unit of f32") {
  std::mt19937 random(11);
  for (const auto& [dtype, tf32] :
       {std::pair{Dtype::kF32, false}, {Dtype::kF32, true}, {Dtype::kF16, false}, {Dtype::kBf16, false}}) {
    const Recorded r = recorded_linear(dtype, tf32, random);
    for (int64_t element = 0; element < kRows * kOut; ++element) {
      ExactSum sum;
      double magnitude = 0;
      for (int64_t k = 0; k < kIn; ++k) {
        const double x = operand(r, 0, element / kOut * kIn + k), w = operand(r, 1, element % kOut * kIn + k);
        sum.add_product(x, w);
        magnitude += std::abs(x * w);
      }
      sum.add(r.call.inputs[2].at(element % kOut));
      const std::optional<double> exact = exact_value(r, 0, element);
      REQUIRE(exact);
      CHECK(std::abs(*exact - sum.round_f64()) <= static_cast<double>(kIn + 1) * 0x1p-53 * magnitude);
    }
  }
}

TEST_CASE("exact value: leaves and integers have none") {
  Recorded leaf;
  leaf.is_leaf = true;
  leaf.outputs = {Tensor::zeros({2}, Dtype::kF32)};
  CHECK_FALSE(exact_value(leaf, 0, 1));
}

Recorded leaf(const std::string& name, const std::vector<double>& values) {
  Recorded r;
  r.is_leaf = true;
  r.name = name;
  r.outputs = {Tensor::from({static_cast<int64_t>(values.size())}, Dtype::kF32, values)};
  return r;
}

TEST_CASE("parting: the first tensor that differs is found, equal replays have none") {
  const std::vector<Recorded> a = {leaf("x", {1, 2}), leaf("y", {3}), leaf("z", {4})};
  CHECK_FALSE(first_parting(a, a));
  std::vector<Recorded> b = a;
  b[1] = leaf("y", {3.5});
  b[2] = leaf("z", {5});
  const std::optional<Parting> parting = first_parting(a, b);
  REQUIRE(parting);
  CHECK(parting->a == &a[1]);
  CHECK(parting->b == &b[1]);
  CHECK(parting->same_place);
}

TEST_CASE("parting: another name, shape or length is a parting of what the runs do") {
  const std::vector<Recorded> a = {leaf("x", {1, 2}), leaf("y", {3})};
  std::vector<Recorded> b = a;
  b[1] = leaf("z", {3});
  CHECK_FALSE(first_parting(a, b)->same_place);
  b[1] = leaf("y", {3, 4});
  CHECK_FALSE(first_parting(a, b)->same_place);
  b.pop_back();
  CHECK(first_parting(a, b)->a == &a[1]);
  CHECK(first_parting(a, b)->b == nullptr);
}

}  // namespace
}  // namespace faultline::harness
