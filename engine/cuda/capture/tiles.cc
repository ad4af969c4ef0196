#include "engine/cuda/capture/tiles.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>

#include "engine/numerics/philox.h"

namespace faultline {
namespace {

constexpr int kUnreadBitsOfTf32 = 13;

// Draws patterns of one format; exponents are fields, from 0 (subnormal) to last(), the one below infinity.
class Patterns {
 public:
  Patterns(Dtype dtype, Draws& draws)
      : exponent_bits_(info(dtype).exponent_bits),
        fraction_bits_(info(dtype).fraction_bits),
        unread_bits_(dtype == Dtype::kTf32 ? kUnreadBitsOfTf32 : 0),
        draws_(draws) {}

  int bias() const { return (1 << (exponent_bits_ - 1)) - 1; }
  int last() const { return (1 << exponent_bits_) - 2; }

  // A random sign and fraction with an exponent field in [lowest, highest], cut to the format's.
  uint32_t with_field(int lowest, int highest) {
    lowest = std::clamp(lowest, 0, last());
    highest = std::clamp(highest, lowest, last());
    return make(lowest + static_cast<int>(draws_.below(highest - lowest + 1)), draws_.u32());
  }

  // +-0, +-infinity, a NaN, the largest and the smallest values: whatever the format has at its ends.
  uint32_t special() {
    const uint32_t fraction = draws_.below(2) ? draws_.u32() : 0u - draws_.below(2);
    return make(draws_.below(2) ? last() + static_cast<int>(draws_.below(2)) : 0, fraction);
  }

  // Any bits, those that tf32 does not read too.
  uint32_t bits() {
    const int width = 1 + exponent_bits_ + fraction_bits_ + unread_bits_;
    return draws_.u32() >> (32 - width);
  }

  uint32_t negated(uint32_t pattern) const {
    return pattern ^ 1u << (exponent_bits_ + fraction_bits_ + unread_bits_);
  }

 private:
  uint32_t make(int field, uint32_t fraction) {
    const uint32_t magnitude =
        static_cast<uint32_t>(field) << fraction_bits_ | (fraction & ((1u << fraction_bits_) - 1));
    return (draws_.below(2) << (exponent_bits_ + fraction_bits_) | magnitude) << unread_bits_;
  }

  int exponent_bits_, fraction_bits_, unread_bits_;
  Draws& draws_;
};

// One tile under construction: A by rows, B by columns.
struct Drawing {
  const MatrixInstruction& instruction;
  Draws& draws;
  Patterns input, accumulate;
  VectorTile& tile;

  void fill(int lowest, int highest) {
    for (uint32_t& x : tile.a) x = input.with_field(lowest, highest);
    for (uint32_t& x : tile.b) x = input.with_field(lowest, highest);
  }
  void fill_c(int lowest, int highest) {
    for (uint32_t& x : tile.c) x = accumulate.with_field(lowest, highest);
  }
  void fill_about_one() {
    fill(input.bias() - 6, input.bias() + 1);
    fill_c(accumulate.bias() - 6, accumulate.bias() + 3);
  }
};

void wide(Drawing& d) {
  const int spread = 4 + static_cast<int>(d.draws.below(20)),
            center = static_cast<int>(d.draws.below(d.input.last()));
  d.fill(center - spread, center + spread);
  const int sum = 2 * (center - d.input.bias()) + d.accumulate.bias();
  d.fill_c(sum - 2 * spread, sum + 2 * spread);
}

void subnormal(Drawing& d) {
  d.fill_about_one();
  for (uint32_t& x : d.tile.a) x = d.input.with_field(0, static_cast<int>(d.draws.below(3)));
  d.fill_c(0, 2);
}

// Each odd k undoes the even one before it, but for one in eight.
void cancel(Drawing& d) {
  d.fill_about_one();
  for (size_t i = 0; i + 1 < d.tile.a.size(); i += 2) {
    if (d.draws.below(8) > 0) d.tile.a[i + 1] = d.input.negated(d.tile.a[i]);
  }
  for (size_t i = 0; i + 1 < d.tile.b.size(); i += 2) d.tile.b[i + 1] = d.tile.b[i];
}

// One k far above the others, so that their last bits are cut.
void one_large(Drawing& d) {
  const int64_t large = d.draws.below(static_cast<uint32_t>(d.instruction.k));
  const int below = 3 + static_cast<int>(d.draws.below(12));
  for (auto* matrix : {&d.tile.a, &d.tile.b}) {
    for (size_t i = 0; i < matrix->size(); ++i) {
      const int top = d.input.bias() + 2 - (static_cast<int64_t>(i) % d.instruction.k == large ? 0 : below);
      (*matrix)[i] = d.input.with_field(top - 1, top);
    }
  }
  d.fill_c(d.accumulate.bias() - 2 * below, d.accumulate.bias() + 4);
}

// Products about the lowest exponent that aligns a sum without an accumulator.
void tiny(Drawing& d) {
  const int lowest_product = 1 - d.accumulate.bias() - 12, half = lowest_product / 2 + d.input.bias();
  d.fill(half - 6, half + 8);
}

void overflow(Drawing& d) {
  const int half = d.accumulate.bias() / 2 + d.input.bias();
  d.fill(half - 3, half + 1);
  d.fill_c(d.accumulate.last() - 3, d.accumulate.last());
}

void special(Drawing& d) {
  d.fill_about_one();
  const auto sprinkle = [&d](std::vector<uint32_t>& matrix, Patterns& patterns) {
    for (uint32_t& x : matrix) {
      if (d.draws.below(16) == 0) x = patterns.special();
    }
  };
  sprinkle(d.tile.a, d.input);
  sprinkle(d.tile.b, d.input);
  sprinkle(d.tile.c, d.accumulate);
}

void bits(Drawing& d) {
  for (uint32_t& x : d.tile.a) x = d.input.bits();
  for (uint32_t& x : d.tile.b) x = d.input.bits();
  for (uint32_t& x : d.tile.c) x = d.accumulate.bits();
}

struct Category {
  const char* name;
  void (*draw)(Drawing&);
};

constexpr Category kCategories[] = {
    {"normal", [](Drawing& d) { d.fill_about_one(); }},
    {"wide", wide},
    {"subnormal", subnormal},
    {"cancel", cancel},
    {"one_large", one_large},
    {"tiny", tiny},
    {"overflow", overflow},
    {"special", special},
    {"bits", bits},
};
constexpr int64_t kCategoryCount = std::size(kCategories);

VectorTile zero_tile(const char* category, const MatrixInstruction& row) {
  return {category, std::vector<uint32_t>(row.m * row.k), std::vector<uint32_t>(row.n * row.k),
          std::vector<uint32_t>(row.m * row.n), std::vector<uint32_t>(row.m * row.n)};
}

uint32_t f16_power(int exponent) { return f16_from_f64(std::ldexp(1.0, exponent)).bits; }

}  // namespace

std::vector<VectorTile> make_ties(const MatrixInstruction& instruction, int64_t count) {
  constexpr int kSmallest = -24, kSmallestNormal = -14;  // exponents of f16
  constexpr uint32_t kSign = 0x8000;
  const int64_t n = instruction.n, k = instruction.k;
  std::vector<VectorTile> tiles;
  for (int64_t t = 0; t < count; ++t) {
    VectorTile tile = zero_tile("ties", instruction);
    for (int64_t row = 0; row < instruction.m; ++row) {
      tile.a[row * k] = f16_power(kSmallestNormal) | (row & 1 ? kSign : 0);
      tile.a[row * k + 1 + row % (k - 1)] = f16_power(kSmallest) | (row & 2 ? kSign : 0);
    }
    for (int64_t column = 0; column < n; ++column) {
      const int rise = static_cast<int>((t / 2 * n + column) % -kSmallest);
      std::fill_n(tile.b.begin() + column * k, k, f16_power(kSmallest + rise));
      tile.b[column * k] = f16_power(kSmallest - 1 - kSmallestNormal);
    }
    if (t % 2 == 1) std::fill(tile.c.begin(), tile.c.end(), kSign);
    tiles.push_back(std::move(tile));
  }
  return tiles;
}

std::vector<VectorTile> make_tiles(const MatrixInstruction& instruction, int64_t count, uint64_t seed) {
  std::vector<VectorTile> tiles;
  for (int64_t i = 0; i < count; ++i) {
    const Category& category = kCategories[i % kCategoryCount];
    Draws draws(seed, "capture/" + std::to_string(i));
    VectorTile tile = zero_tile(category.name, instruction);
    Drawing drawing{instruction, draws, {instruction.input, draws}, {instruction.accumulate, draws}, tile};
    category.draw(drawing);
    if (i / kCategoryCount % 2 == 1) std::fill(tile.c.begin(), tile.c.end(), 0);
    tiles.push_back(std::move(tile));
  }
  return tiles;
}

}  // namespace faultline
