#include "engine/kernels/chain_block.h"

#include <algorithm>
#include <array>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/chain_block.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The accumulators, two vectors of the right operand and one broadcast fill the registers. One vector takes
// as many rows as hide the latency of an addition.
constexpr int kVectors = 2;
constexpr int kRows = HWY_TARGET == HWY_AVX2 ? 6 : 12;
constexpr int kRowsOfOneVector = 12;

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

template <int rows, int vectors, class Left>
HWY_NOINLINE void RegisterChains(const Left& left, const ChainBlock& block, const float* right, float* out) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = hn::Lanes(d), depth = block.depth, ld = block.ld;
  const int64_t* HWY_RESTRICT right_step = block.right_step;
  const Left local = left;
  V sum[rows][vectors];
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) sum[i][v] = hn::Zero(d);
  }
  for (int64_t k = 0; k < depth; ++k) {
    const float* b = right + right_step[k];
    V column[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) column[v] = hn::LoadU(d, b + v * lanes);
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) {
      const V a = hn::Set(d, local.template at<rows>(k, i));
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sum[i][v] = hn::MulAdd(a, column[v], sum[i][v]);
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

template <class Left, int vectors, size_t... i>
constexpr std::array<Kernel<Left>, sizeof...(i)> Kernels(std::index_sequence<i...>) {
  return {RegisterChains<i + 1, vectors, Left>...};
}

template <class Left, class LeftOfPanel>
void RunPanels(const ChainBlock& block, const LeftOfPanel& left_of) {
  static constexpr auto kOne = Kernels<Left, 1>(std::make_index_sequence<kRowsOfOneVector>());
  static constexpr auto kTwo = Kernels<Left, 2>(std::make_index_sequence<kRows>());
  const int64_t lanes = hn::Lanes(hn::ScalableTag<float>()), group = lanes * kVectors;
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

void RunChainBlock(const ChainBlock& block) {
  if (block.left_row == nullptr) {
    RunPanels<PackedLeft>(block, [&](int64_t begin, int64_t rows) {
      return PackedLeft{block.left + begin * block.left_depth + block.left_begin * rows};
    });
    return;
  }
  RunPanels<GatheredLeft>(block, [&](int64_t begin, int64_t rows) {
    GatheredLeft left{{}, block.left_step};
    for (int64_t i = 0; i < rows; ++i) left.row[i] = block.left + block.left_row[begin + i];
    return left;
  });
}

RegisterBlock Block(int64_t columns) {
  const int64_t lanes = hn::Lanes(hn::ScalableTag<float>());
  return columns <= lanes ? RegisterBlock{kRowsOfOneVector, lanes} : RegisterBlock{kRows, kVectors * lanes};
}

}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {

HWY_EXPORT(RunChainBlock);
HWY_EXPORT(Block);

RegisterBlock register_block(int64_t columns) { return HWY_DYNAMIC_DISPATCH(Block)(columns); }

void run_chain_block(const ChainBlock& block) { HWY_DYNAMIC_DISPATCH(RunChainBlock)(block); }

}  // namespace faultline
#endif  // HWY_ONCE
