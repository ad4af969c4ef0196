#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/base/registry.h"
#include "engine/mma/arithmetic.h"
#include "engine/mma/fused_dot.h"
#include "engine/mma/windows.h"

namespace faultline {

// One call of a matrix unit: c [M, N] = a [M, K] times b [K, N], from +0, K >= 1. All row-major and dense;
// operands are of format `input`, widened exactly; results are of format `accumulate`, widened exactly.
struct UnitProduct {
  int64_t M, N, K;
  const float* a;
  const float* b;
  float* c;
  Dtype input;
  Dtype accumulate;
};

// The same where b is read from an image.
struct UnitWindows {
  int64_t M, N, K;
  const float* a;
  Windows b;
  float* c;
  Dtype input;
  Dtype accumulate;
};

// Where the k of an operand lie, in runs of neighbours.
class UnitRuns {
 public:
  // k, k + 1, ... up to the next run's are at offset, offset + 1, ...
  struct Run {
    int64_t k, offset;
  };

  // Appends `length` neighbours.
  void add(int64_t offset, int64_t length);

  int64_t size() const { return size_; }
  // The run that holds k, and with it those behind; after the last there is one that begins at size().
  const Run* at(int64_t k) const;

 private:
  int64_t size_ = 0;
  std::vector<Run> runs_ = {{0, 0}};
};

// An operand of bf16 as it lies. Either rows are neighbours: element (i, k) is at data[offset[k] + i]. Or k are, in
// runs, of which it takes those from `first_k` on: it is at row[i] plus the offset of k. Or it is packed for all of k,
// as UnitTiles::pack does it.
struct UnitOperand {
  const Bf16* data = nullptr;
  const int64_t* offset = nullptr;
  const int64_t* row = nullptr;
  const UnitRuns* runs = nullptr;
  int64_t first_k = 0;
  const Bf16* packed = nullptr;

  // The operand [size, K] that begins at row i and at k of this one, which is not packed.
  UnitOperand from(int64_t i, int64_t k) const {
    if (offset != nullptr) return {.data = data + i, .offset = offset + k};
    return {.data = data, .row = row + i, .runs = runs, .first_k = first_k + k};
  }
  Bf16 element(int64_t i, int64_t k) const;
};

enum class UnitSide : uint8_t { kLeft, kRight };

// Offsets of what lies `stride` apart: 0, stride, 2 stride, ...
std::vector<int64_t> multiples(int64_t n, int64_t stride);

// An operand of which element (i, k) is at i * row_stride + k * k_stride, and what it points to.
class StridedOperand {
 public:
  StridedOperand(const Bf16* data, int64_t size, int64_t K, int64_t row_stride, int64_t k_stride);
  const UnitOperand& operand() const { return operand_; }

 private:
  std::vector<int64_t> offsets_;
  UnitRuns runs_;
  UnitOperand operand_;
};

// One call of a unit that packs its operands itself: c [M, N] = left [M, K] times right [N, K], transposed, from +0,
// K >= 1. Rows of c are `ld` apart; blocks of it are written as a whole, so that it has room for multiples of
// kUnitBlock. An operand that is not packed is packed on the way.
struct UnitTileProduct {
  int64_t M, N, K;
  UnitOperand left, right;
  float* c;
  int64_t ld;
};

// Rows of an operand that are packed together, and the multiple of k to which a packed row is completed.
inline constexpr int64_t kUnitBlock = 32;
inline int64_t round_to_unit_block(int64_t n) { return (n + kUnitBlock - 1) / kUnitBlock * kUnitBlock; }

// The products of a unit, whose one input is bf16, on operands that it packs from where they lie. They run on the
// calling thread.
struct UnitTiles {
  // Packs rows [0, size), whole blocks of them from `packed` on, kUnitBlock * round_to_unit_block(K) values each.
  // `packed` is aligned to 64 bytes.
  std::function<void(const UnitOperand&, UnitSide, int64_t size, int64_t K, Bf16* packed)> pack;
  std::function<void(const UnitTileProduct&)> multiply;  // empty: the unit has no such products
};

// What a unit multiplies, and the format of its sums.
struct UnitFormat {
  Dtype input, accumulate;
  bool operator==(const UnitFormat&) const = default;
};

// One output element: c plus the products of k pairs of operands.
using UnitDot = std::function<float(UnitFormat, const float* a, const float* b, int64_t k, float c)>;

// A row of the table of matrix units (numerics.md 3).
struct Unit {
  static constexpr const char* kKind = "unit";

  std::string description;
  std::vector<UnitFormat> formats;
  std::string order;  // how it adds, in a phrase; where there are rules, they say it
  std::function<void(const UnitProduct&)> product;
  UnitDot dot = {};                  // the plain model; empty where nobody can say what the unit does
  std::vector<StepRule> rules = {};  // of each format, if the unit is a chain of fused steps
  std::function<void(const UnitWindows&)> windows = {};  // empty: write b out
  UnitTiles tiles = {};
};

// The product by the plain model, element by element.
void product_of_dots(const UnitProduct& product, const UnitDot& dot);

// Returns the rule of one format among a unit's rules, or nullptr.
const StepRule* step_rule(const std::vector<StepRule>& rules, UnitFormat format);

// Returns how the unit adds, in a phrase: "steps of 16 products, 25 bits kept below the largest exponent,
// ...".
std::string order_phrase(const Unit& unit, UnitFormat format);

// The format that a unit sees for a product of `stored` operands: tf32 where f32 operands are rounded to it.
Dtype unit_input(const Arithmetic& arithmetic, Dtype stored);

// Returns the unit that `arithmetic` names.
// Throws: kNotFound if there is none of that name, kDtype if it does not take operands of format `input` or
// does not accumulate them in the format asked for, kArgument if split_k < 1; each with what exists.
const Unit& check_unit(const Arithmetic& arithmetic, Dtype input, const std::string& op_name);

}  // namespace faultline
