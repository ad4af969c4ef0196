#include "engine/kernels/chain_block.h"

#include <algorithm>
#include <array>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/chain_block.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "engine/base/rounding.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The accumulators, two vectors of the right operand and one broadcast fill the registers. One vector takes
// as many rows as hide the latency of an addition.
constexpr int kVectors = 2;
constexpr int kRows = HWY_TARGET == HWY_AVX2 ? 6 : 12;
constexpr int kRowsOfOneVector = 12;

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;

// One step of a chain: sum + a * b, rounded once to f32 or to f16.
struct F32Step {
  static HWY_INLINE VF next(VF a, VF b, VF sum) { return hn::MulAdd(a, b, sum); }
};

// The product of two f16 is exact in f32. Rounding its sum to odd first, in f32, leaves the rounding to f16 to be
// the only one (Boldo and Melquiond 2008). Where conversions to f16 have a rounding of their own (x86), the sum is
// cut, and was inexact if a subtraction does not give the other term back: that of the larger term is exact.
// Elsewhere the error of the addition (Knuth's two-sum, exact here) turns an even sum towards the exact one.
struct F16Step {
  static constexpr bool kCuts = HWY_ARCH_X86;

  static HWY_INLINE VF next(VF a, VF b, VF sum) {
    const hn::RebindToSigned<DF> di;
    const hn::Rebind<hwy::float16_t, DF> df16;
    const VF product = hn::Mul(a, b), rounded = hn::Add(product, sum), part = hn::Sub(rounded, product);
    const auto bits = hn::BitCast(di, rounded), one = hn::Set(di, 1);
    auto odd = bits;
    if (kCuts) {
      // False for infinities and NaNs.
      const auto inexact = hn::Or(hn::Ne(part, sum), hn::Ne(hn::Sub(rounded, sum), product));
      odd = hn::Or(bits, hn::IfThenElseZero(hn::RebindMask(di, inexact), one));
    } else {
      const VF error = hn::Add(hn::Sub(product, hn::Sub(rounded, part)), hn::Sub(sum, part));
      const auto even = hn::Eq(hn::And(bits, one), hn::Zero(di));
      const auto inexact =
          hn::RebindMask(di, hn::Or(hn::Gt(error, hn::Zero(DF())), hn::Lt(error, hn::Zero(DF()))));
      const auto inwards =
          hn::BroadcastSignBit(hn::Xor(bits, hn::BitCast(di, error)));  // -1 where the signs differ
      odd = hn::Add(bits, hn::IfThenElseZero(hn::And(even, inexact), hn::Or(inwards, one)));
    }
    return hn::PromoteTo(DF(), hn::DemoteTo(df16, hn::BitCast(DF(), odd)));
  }
};

struct PackedLeft {
  template <int rows>
  HWY_INLINE float at(int64_t k, int i) const {
    return data[k * rows + i];
  }
  const float* data;
};

struct GatheredLeft {
  template <int rows>
  HWY_INLINE float at(int64_t k, int i) const {
    return row[i][step[k]];
  }
  std::array<const float*, kRowsOfOneVector> row;
  const int64_t* step;
};

template <class Step, int rows, int vectors, class Left>
HWY_NOINLINE void RegisterChains(const Left& left, const ChainBlock& block, const float* right, float* out) {
  const DF d;
  const int64_t lanes = hn::Lanes(d), depth = block.depth, ld = block.ld;
  const int64_t* HWY_RESTRICT right_step = block.right_step;
  const Left local = left;
  VF sum[rows][vectors];
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      sum[i][v] = block.goes_on ? hn::LoadU(d, out + i * ld + v * lanes) : hn::Zero(d);
    }
  }
  for (int64_t k = 0; k < depth; ++k) {
    const float* b = right + right_step[k];
    VF column[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) column[v] = hn::LoadU(d, b + v * lanes);
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) {
      const VF a = hn::Set(d, local.template at<rows>(k, i));
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sum[i][v] = Step::next(a, column[v], sum[i][v]);
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) hn::StoreU(sum[i][v], d, out + i * ld + v * lanes);
  }
}

template <class Left>
using Kernel = void (*)(const Left&, const ChainBlock&, const float*, float*);

template <class Step, class Left, int vectors, size_t... i>
constexpr std::array<Kernel<Left>, sizeof...(i)> Kernels(std::index_sequence<i...>) {
  return {RegisterChains<Step, i + 1, vectors, Left>...};
}

template <class Step, class Left, class LeftOfPanel>
void RunPanels(const ChainBlock& block, const LeftOfPanel& left_of) {
  static constexpr auto kOne = Kernels<Step, Left, 1>(std::make_index_sequence<kRowsOfOneVector>());
  static constexpr auto kTwo = Kernels<Step, Left, 2>(std::make_index_sequence<kRows>());
  const int64_t lanes = hn::Lanes(DF()), group = lanes * kVectors;
  const int64_t first = block.panels.begin(block.first_panel);
  for (int64_t j = 0; j < block.columns; j += group) {
    const Kernel<Left>* kernels = block.columns - j <= lanes ? kOne.data() : kTwo.data();
    const float* right = block.right + j / group * block.right_group;
    for (int64_t panel = block.first_panel; panel < block.last_panel; ++panel) {
      const int64_t begin = block.panels.begin(panel), rows = block.panels.rows(panel);
      kernels[rows - 1](left_of(begin, rows), block, right, block.out + (begin - first) * block.ld + j);
    }
  }
}

template <class Step>
void RunChains(const ChainBlock& block) {
  if (block.left_row == nullptr) {
    const int64_t first = block.panels.begin(block.first_panel);
    RunPanels<Step, PackedLeft>(block, [&](int64_t begin, int64_t rows) {
      return PackedLeft{block.left + (begin - first) * block.left_depth + block.left_begin * rows};
    });
    return;
  }
  RunPanels<Step, GatheredLeft>(block, [&](int64_t begin, int64_t rows) {
    GatheredLeft left{{}, block.left_step};
    for (int64_t i = 0; i < rows; ++i) left.row[i] = block.left + block.left_row[begin + i];
    return left;
  });
}

void RunChainBlock(const ChainBlock& block) {
  if (block.accumulate == Dtype::kF16)
    RunChains<F16Step>(block);
  else
    RunChains<F32Step>(block);
}

bool CutsSums() { return F16Step::kCuts; }

RegisterBlock Block(int64_t columns) {
  const int64_t lanes = hn::Lanes(DF());
  return columns <= lanes ? RegisterBlock{kRowsOfOneVector, lanes} : RegisterBlock{kRows, kVectors * lanes};
}

}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {

HWY_EXPORT(RunChainBlock);
HWY_EXPORT(Block);
HWY_EXPORT(CutsSums);

RegisterBlock register_block(int64_t columns) { return HWY_DYNAMIC_DISPATCH(Block)(columns); }

void run_chain_block(const ChainBlock& block) {
  const TowardZero rounding(block.accumulate == Dtype::kF16 && HWY_DYNAMIC_DISPATCH(CutsSums)());
  HWY_DYNAMIC_DISPATCH(RunChainBlock)(block);
}

}  // namespace faultline
#endif  // HWY_ONCE
