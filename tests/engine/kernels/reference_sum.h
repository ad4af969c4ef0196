#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "engine/mma/arithmetic.h"
#include "engine/mma/unit.h"
#include "engine/numerics/dtype.h"

// numerics.md 2.1, 2.3 and 3, one output at a time and as plainly as they read.
namespace faultline::reference {

using Term = std::pair<float, float>;  // a(k), b(k), widened

inline float chain(const std::vector<Term>& terms, size_t begin, size_t end, Dtype accumulate) {
  float sum = 0;
  for (size_t k = begin; k < end; ++k) {
    const auto [a, b] = terms[k];
    if (accumulate == Dtype::kF16) {
      // The product is exact in f64; the error of the sum, where there is one, rounds it to odd.
      const double product = double{a} * b, exact = product + sum;
      const double part = exact - product, error = (product - (exact - part)) + (sum - part);
      double odd = exact;
      if (error != 0 && std::isfinite(error) && !(std::bit_cast<uint64_t>(exact) & 1)) {
        odd = std::nextafter(exact, error > 0 ? INFINITY : -INFINITY);
      }
      sum = to_f32(f16_from_f64(odd));
    } else {
      sum = std::fma(a, b, sum);
    }
  }
  return sum;
}

inline float add(float a, float b, Dtype format) { return static_cast<float>(round_to(a + b, format)); }

// One range of the plan: by the unit's plain model where it has one, else in blocks of 512.
inline float range(const std::vector<Term>& terms, size_t begin, size_t end, const Arithmetic& how,
                   Dtype input) {
  const Unit& unit = Registry<Unit>::instance().find(how.unit);
  if (how.unit != kFmaUnit && unit.dot) {
    std::vector<float> a, b;
    for (size_t k = begin; k < end; ++k) {
      a.push_back(terms[k].first);
      b.push_back(terms[k].second);
    }
    return unit.dot({input, how.accumulate}, a.data(), b.data(), static_cast<int64_t>(a.size()), 0.0f);
  }
  float sum = chain(terms, begin, std::min(end, begin + 512), how.accumulate);
  for (size_t k = begin + 512; k < end; k += 512) {
    sum = add(sum, chain(terms, k, std::min(end, k + 512), how.accumulate), how.accumulate);
  }
  return sum;
}

// The result in f32, before the last rounding, of operands stored as `in`. `per_leaf` 0: the index holds no sample.
inline float sum(const std::vector<Term>& terms, size_t per_leaf, const Arithmetic& how, Dtype in,
                 Dtype out) {
  const size_t K = terms.size();
  const Dtype input = how.tf32 && in == Dtype::kF32 ? Dtype::kTf32 : in;
  if (K == 0) return 0;
  if (how.split_k > 1) {
    const Dtype parts = how.split_reduce_in_output ? out : Dtype::kF32;
    const size_t part = ((K + how.split_k - 1) / how.split_k + 7) / 8 * 8;
    float total = range(terms, 0, std::min(K, part), how, input);
    if (part < K) total = static_cast<float>(round_to(total, parts));
    for (size_t k = part; k < K; k += part) {
      const float next = range(terms, k, std::min(K, k + part), how, input);
      total = add(total, static_cast<float>(round_to(next, parts)), how.accumulate);
      total = static_cast<float>(round_to(total, parts));
    }
    return total;
  }
  const bool leaves =
      how.k_plan == KPlanRule::kLeaf || (how.k_plan == KPlanRule::kOfUnit && how.unit == kFmaUnit);
  if (per_leaf == 0 || !leaves) per_leaf = K;
  std::vector<float> level;
  for (size_t k = 0; k < K; k += per_leaf) {
    level.push_back(range(terms, k, std::min(K, k + per_leaf), how, input));
  }
  while (level.size() > 1) {
    std::vector<float> next;
    for (size_t i = 0; i + 1 < level.size(); i += 2)
      next.push_back(add(level[i], level[i + 1], how.accumulate));
    if (level.size() % 2 == 1) next.push_back(level.back());
    level = next;
  }
  return level[0];
}

// An array of a format, filled with random reals, small integers, or reals among which special values are
// strewn.
enum class Fill { kReals, kIntegers, kSpecials };

struct Values {
  Values(int64_t n, Dtype dtype) : dtype(dtype), bytes(n * size_bytes(dtype)) {}
  Values(int64_t n, Dtype dtype, Fill fill, uint32_t seed) : Values(n, dtype) {
    static const float kSpecial[] = {NAN,    INFINITY, -INFINITY, -0.0f,    0.0f,
                                     1e-40f, -3e-45f,  6e-8f,     65504.0f, 3e38f};
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < n; ++i) {
      float value = normal(random);
      if (fill == Fill::kIntegers) value = static_cast<float>(static_cast<int>(random() % 7) - 3);
      if (fill == Fill::kSpecials && random() % 16 == 0) value = kSpecial[random() % std::size(kSpecial)];
      set(i, value);
    }
  }

  void set(int64_t i, double value) {
    visit(dtype, [&]<class T>() {
      const T narrowed = narrow<T>(value);
      std::memcpy(bytes.data() + i * sizeof(T), &narrowed, sizeof(T));
    });
  }
  float at(int64_t i) const {
    return visit(dtype, [&]<class T>() {
      T value;
      std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
      return static_cast<float>(widen(value));
    });
  }
  // As an operand of a product.
  float at(int64_t i, const Arithmetic& how) const {
    return how.tf32 && dtype == Dtype::kF32 ? tf32_from_f32(at(i), how.tf32_rounding) : at(i);
  }
  int64_t size() const { return bytes.size() / size_bytes(dtype); }

  Dtype dtype;
  std::vector<char> bytes;
};

// Elements whose bits differ; any NaN equals any NaN.
inline int64_t differences(const Values& got, const Values& want) {
  int64_t count = 0;
  for (int64_t i = 0; i < want.size(); ++i) {
    const int64_t size = size_bytes(want.dtype);
    if (std::isnan(got.at(i)) && std::isnan(want.at(i))) continue;
    count += std::memcmp(got.bytes.data() + i * size, want.bytes.data() + i * size, size) != 0;
  }
  return count;
}

}  // namespace faultline::reference
