#include "engine/kernels/convert.h"

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "engine/base/cpu.h"

namespace faultline {
namespace {

template <class T>
std::vector<T> all_patterns() {
  std::vector<T> patterns;
  for (uint32_t bits = 0; bits <= 0xffff; ++bits) patterns.push_back(T{static_cast<uint16_t>(bits)});
  return patterns;
}

// Every value of the format, what lies half way to its neighbour, the f32 beside both, and NaNs with
// payloads.
template <class T>
std::vector<float> boundaries() {
  std::vector<float> values;
  for (uint32_t bits = 0; bits < 0xffff; ++bits) {
    const float low = to_f32(T{static_cast<uint16_t>(bits)}),
                high = to_f32(T{static_cast<uint16_t>(bits + 1)});
    for (const float value : {low, low / 2 + high / 2}) {
      values.insert(values.end(), {value, std::nextafterf(value, 0), std::nextafterf(value, INFINITY),
                                   std::nextafterf(value, -INFINITY)});
    }
  }
  for (uint32_t payload = 1; payload < 0x800000; payload = payload * 5 / 2 + 1) {
    values.push_back(std::bit_cast<float>(0x7f800000u | payload));
    values.push_back(std::bit_cast<float>(0xff800000u | payload));
  }
  return values;
}

template <class From, class To>
std::vector<To> converted(const std::vector<From>& from) {
  std::vector<To> to(from.size());
  convert_elements(dtype_of<From>(), from.data(), dtype_of<To>(), to.data(),
                   static_cast<int64_t>(from.size()));
  return to;
}

// Counts what differs from the scalar definition; `equal` compares one element.
template <class From, class To, class Equal>
int64_t differences(const std::vector<From>& from, Equal equal) {
  int64_t count = 0;
  for (const std::string& set : instruction_sets()) {
    set_instruction_set(set);
    const std::vector<To> to = converted<From, To>(from);
    for (size_t i = 0; i < from.size(); ++i) count += !equal(from[i], to[i]);
  }
  set_instruction_set("");
  return count;
}

// A widened NaN may become quiet.
template <class T>
bool widened(T from, float to) {
  const uint32_t expected = std::bit_cast<uint32_t>(to_f32(from)), got = std::bit_cast<uint32_t>(to);
  return got == expected || (std::isnan(to_f32(from)) && got == (expected | 0x400000u));
}

}  // namespace

TEST_CASE("convert: all 65,536 patterns of f16 and bf16 widen exactly") {
  CHECK(differences<F16, float>(all_patterns<F16>(), widened<F16>) == 0);
  CHECK(differences<Bf16, float>(all_patterns<Bf16>(), widened<Bf16>) == 0);
}

TEST_CASE("convert: f32 rounds to f16 and bf16 as the scalar definition does, NaN payloads too") {
  CHECK(differences<float, F16>(boundaries<F16>(),
                                [](float from, F16 to) { return to.bits == f16_from_f32(from).bits; }) == 0);
  CHECK(differences<float, Bf16>(boundaries<Bf16>(), [](float from, Bf16 to) {
          return to.bits == bf16_from_f32(from).bits;
        }) == 0);
}

TEST_CASE("convert: between f16 and bf16 the value is rounded once") {
  CHECK(differences<F16, Bf16>(all_patterns<F16>(), [](F16 from, Bf16 to) {
          const float wide = to_f32(from);
          return std::isnan(wide) ? std::isnan(to_f32(to)) : to.bits == bf16_from_f32(wide).bits;
        }) == 0);
}

TEST_CASE("convert: any count is converted, and nothing after it is touched") {
  const std::vector<float> from(100, 1.5f);
  for (int64_t n = 0; n < 70; ++n) {
    std::vector<F16> to(100, F16{0x1234});
    convert_elements(Dtype::kF32, from.data(), Dtype::kF16, to.data(), n);
    for (int64_t i = 0; i < 100; ++i) REQUIRE(to[i].bits == (i < n ? 0x3e00 : 0x1234));
  }
}

}  // namespace faultline
