#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/engine/kernels/math_test.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "engine/kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {

template <class Function>
void apply(const float* x, float* y, size_t count, Function function) {
  const hwy::HWY_NAMESPACE::ScalableTag<float> d;
  for (size_t i = 0; i < count; i += Lanes(d)) StoreU(function(d, LoadU(d, x + i)), d, y + i);
}

// Each takes a count that is a multiple of every vector length.
void exp_lanes(const float* x, float* y, size_t count) {
  apply(x, y, count, [](auto d, auto v) HWY_ATTR { return Exp(d, v); });
}
void log_lanes(const float* x, float* y, size_t count) {
  apply(x, y, count, [](auto d, auto v) HWY_ATTR { return Log(d, v); });
}
void tanh_lanes(const float* x, float* y, size_t count) {
  apply(x, y, count, [](auto d, auto v) HWY_ATTR { return Tanh(d, v); });
}
void sigmoid_lanes(const float* x, float* y, size_t count) {
  apply(x, y, count, [](auto d, auto v) HWY_ATTR { return Sigmoid(d, v); });
}
void erf_lanes(const float* x, float* y, size_t count) {
  apply(x, y, count, [](auto d, auto v) HWY_ATTR { return Erf(d, v); });
}

}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <bit>
#include <catch2/catch.hpp>
#include <random>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/numerics/math.h"

namespace faultline {
namespace {

HWY_EXPORT(exp_lanes);
HWY_EXPORT(log_lanes);
HWY_EXPORT(tanh_lanes);
HWY_EXPORT(sigmoid_lanes);
HWY_EXPORT(erf_lanes);

struct Function {
  const char* name;
  float (*scalar)(float);
  void (*lanes)(const float*, float*, size_t);
};

const Function kFunctions[] = {
    {"exp", exp_f32,
     [](const float* x, float* y, size_t n) {
       HWY_DYNAMIC_DISPATCH(exp_lanes)
       (x, y, n);
     }},
    {"log", log_f32,
     [](const float* x, float* y, size_t n) {
       HWY_DYNAMIC_DISPATCH(log_lanes)
       (x, y, n);
     }},
    {"tanh", tanh_f32,
     [](const float* x, float* y, size_t n) {
       HWY_DYNAMIC_DISPATCH(tanh_lanes)
       (x, y, n);
     }},
    {"sigmoid", sigmoid_f32,
     [](const float* x, float* y, size_t n) {
       HWY_DYNAMIC_DISPATCH(sigmoid_lanes)
       (x, y, n);
     }},
    {"erf", erf_f32,
     [](const float* x, float* y, size_t n) {
       HWY_DYNAMIC_DISPATCH(erf_lanes)
       (x, y, n);
     }},
};

constexpr size_t kBlock = 4096;

// Returns how many lanes agree before the first difference; kBlock if all do.
size_t equal_prefix(const Function& function, const std::vector<float>& x) {
  std::vector<float> y(kBlock);
  function.lanes(x.data(), y.data(), kBlock);
  for (size_t i = 0; i < kBlock; ++i) {
    if (std::bit_cast<uint32_t>(y[i]) != std::bit_cast<uint32_t>(function.scalar(x[i]))) return i;
  }
  return kBlock;
}

void check_block(const Function& function, const std::vector<float>& x) {
  const size_t equal = equal_prefix(function, x);
  if (equal == kBlock) return;
  CAPTURE(function.name, instruction_set(), std::bit_cast<uint32_t>(x[equal]), x[equal]);
  FAIL("the vector form differs from the scalar one");
}

TEST_CASE("math: vector forms equal the scalar functions in every bit on 12 million random patterns") {
  for (const std::string& set : instruction_sets()) {
    set_instruction_set(set);
    std::mt19937 random(7);
    std::vector<float> x(kBlock);
    for (int block = 0; block < 3000; ++block) {
      for (float& value : x) {
        uint32_t bits = static_cast<uint32_t>(random());
        // Every second block keeps exponents where the functions are neither 0, 1 nor infinite.
        if (block % 2) bits = (bits & 0x807fffffu) | (96 + (bits >> 23 & 0xff) % 40) << 23;
        value = std::bit_cast<float>(bits);
      }
      for (const Function& function : kFunctions) check_block(function, x);
    }
  }
  set_instruction_set("");
}

TEST_CASE("math: vector forms equal the scalar functions at the first and last patterns of every exponent") {
  for (const std::string& set : instruction_sets()) {
    set_instruction_set(set);
    for (uint32_t part = 0; part < 2; ++part) {  // 512 signs and exponents, 16 patterns each.
      std::vector<float> x(kBlock);
      for (uint32_t i = 0; i < kBlock; ++i) {
        const uint32_t fraction = i % 16 < 8 ? i % 16 : 0x7fffff - (15 - i % 16);
        x[i] = std::bit_cast<float>((part * 256 + i / 16) << 23 | fraction);
      }
      for (const Function& function : kFunctions) check_block(function, x);
    }
  }
  set_instruction_set("");
}

}  // namespace
}  // namespace faultline
#endif  // HWY_ONCE
