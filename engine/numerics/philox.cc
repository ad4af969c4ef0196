#include "engine/numerics/philox.h"

#include <Random123/philox.h>

#include <cmath>
#include <utility>

#include "engine/base/error.h"
#include "engine/numerics/math.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace faultline {
namespace {

r123::Philox4x32::ctr_type block_of(uint64_t seed, uint64_t stream, uint64_t block) {
  const auto low = [](uint64_t v) { return static_cast<uint32_t>(v); };
  const auto high = [](uint64_t v) { return static_cast<uint32_t>(v >> 32); };
  return r123::Philox4x32()({{low(stream), high(stream), low(block), high(block)}},
                            {{low(seed), high(seed)}});
}

}  // namespace

uint64_t stream_id(std::string_view name) { return XXH3_64bits(name.data(), name.size()); }

Draws::Draws(uint64_t seed, std::string_view stream_name, uint64_t first)
    : seed_(seed), stream_(stream_id(stream_name)), count_(first) {
  const auto block = block_of(seed_, stream_, count_ / 4);
  for (size_t i = 0; i < 4; ++i) block_[i] = block[i];
}

uint32_t Draws::at(uint64_t seed, uint64_t stream, uint64_t index) {
  return block_of(seed, stream, index / 4)[index % 4];
}

uint32_t Draws::u32() {
  if (count_ % 4 == 0) {
    const auto block = block_of(seed_, stream_, count_ / 4);
    for (size_t i = 0; i < 4; ++i) block_[i] = block[i];
  }
  return block_[count_++ % 4];
}

float Draws::uniform() { return static_cast<float>(u32() >> 8) * 0x1p-24f; }

double Draws::normal() {
  const double a = (u32() + 1.0) * 0x1p-32;
  const double b = u32() * 0x1p-32;
  return std::sqrt(-2 * log_f64(a)) * cos_f64(0x1.921fb54442d18p+2 * b);
}

uint32_t Draws::below(uint32_t n) {
  if (n == 0) throw Error(ErrorCode::kArgument, "random below", "the bound must be at least 1, got 0");
  const uint32_t unfair = -n % n;
  uint64_t product;
  do {
    product = uint64_t{u32()} * n;
  } while (static_cast<uint32_t>(product) < unfair);
  return static_cast<uint32_t>(product >> 32);
}

void shuffle(std::vector<int32_t>& values, Draws& draws) {
  for (size_t i = values.size(); i > 1; --i) {
    std::swap(values[i - 1], values[draws.below(static_cast<uint32_t>(i))]);
  }
}

}  // namespace faultline
