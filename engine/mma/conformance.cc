#include "engine/mma/conformance.h"

#include <algorithm>
#include <bit>

#include "engine/base/error.h"
#include "engine/numerics/exact_sum.h"
#include "engine/numerics/ulp.h"

namespace faultline {
namespace {

// The pattern of a result, which is a value of the format; the payload of a NaN is kept.
uint32_t pattern(float value, Dtype dtype) {
  return visit(dtype, [value]<class T>() -> uint32_t {
    if constexpr (requires(T x) { x.bits; })
      return narrow<T>(value).bits;
    else
      return std::bit_cast<uint32_t>(value);
  });
}

std::vector<float> values(const std::vector<uint32_t>& patterns, Dtype dtype) {
  std::vector<float> values;
  for (const uint32_t bits : patterns) values.push_back(static_cast<float>(value_of(bits, dtype)));
  return values;
}

double exact(const float* a, const float* b, int64_t k, float c) {
  ExactSum sum;
  sum.add(c);
  for (int64_t i = 0; i < k; ++i) sum.add_product(a[i], b[i]);
  return sum.round_f64();
}

// The fast product of a tile, if C is +0.
std::vector<float> fast_product(const VectorFile& file, const VectorTile& tile, const Unit& unit,
                                const std::vector<float>& a, const std::vector<float>& b) {
  if (std::any_of(tile.c.begin(), tile.c.end(), [](uint32_t bits) { return bits != 0; })) return {};
  std::vector<float> rows(b.size()), out(tile.d.size());
  for (size_t i = 0; i < b.size(); ++i) rows[i % file.k * file.n + i / file.k] = b[i];
  unit.product({file.m, file.n, file.k, a.data(), rows.data(), out.data(), file.input, file.d});
  return out;
}

void judge_tile(const VectorFile& file, const VectorTile& tile, const Unit& unit, size_t keep,
                Conformance& result) {
  const std::vector<float> a = values(tile.a, file.input), b = values(tile.b, file.input),
                           c = values(tile.c, file.c);
  const std::vector<float> fast = fast_product(file, tile, unit, a, b);
  result.elements += tile.d.size();
  result.fast_elements += fast.size();
  for (size_t i = 0; i < tile.d.size(); ++i) {
    const int64_t row = i / file.n, column = i % file.n;
    const float *left = a.data() + row * file.k, *right = b.data() + column * file.k;
    const uint32_t plain = pattern(unit.dot({file.input, file.d}, left, right, file.k, c[i]), file.d);
    const uint32_t by_product = fast.empty() ? plain : pattern(fast[i], file.d);
    if (plain == tile.d[i] && by_product == tile.d[i]) continue;
    if (++result.differences > static_cast<int64_t>(keep)) continue;
    result.first.push_back({tile.line, row, column, tile.category, tile.d[i], plain, by_product,
                            exact(left, right, file.k, c[i])});
  }
}

}  // namespace

Conformance judge(const std::string& file_name, const VectorFile& file, const std::string& unit_name,
                  size_t keep) {
  Arithmetic arithmetic;
  arithmetic.unit = unit_name;
  arithmetic.accumulate = file.d;
  const Unit& unit = check_unit(arithmetic, file.input, file_name);
  if (widest(file.c, file.d) != file.d) {
    throw Error(
        ErrorCode::kDtype, file_name,
        std::string("C is in ") + name(file.c) + ", which does not fit the accumulator " + name(file.d));
  }
  if (!unit.dot) {
    throw Error(
        ErrorCode::kUnsupported, file_name,
        "unit " + unit_name + " has no definition of its own to judge, its sums are in a library's order");
  }
  Conformance result;
  for (const VectorTile& tile : file.tiles) judge_tile(file, tile, unit, keep, result);
  return result;
}

}  // namespace faultline
