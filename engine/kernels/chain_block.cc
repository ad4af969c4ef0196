#include "engine/kernels/chain_block.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/chain_block.cc"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "engine/base/error.h"
#include "engine/base/rounding.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Rows beside so many vectors of columns: the accumulators, the vectors of the right operand and one broadcast fill the
// registers. One vector takes as many rows as hide the latency of an addition. A broadcast serves all vectors of its
// row, so four of them need the fewest loads: what another thread of the core slows down most.
constexpr std::array<int, 4> kRows = HWY_TARGET == HWY_AVX2   ? std::array{12, 6, 0, 0}
                                     : HWY_TARGET == HWY_NEON ? std::array{15, 12, 0, 0}
                                                              : std::array{15, 14, 9, 6};
static_assert(kRows[0] <= ChainBlock::kWholePanel);
constexpr int kMostSums = std::max({kRows[0], 2 * kRows[1], 3 * kRows[2], 4 * kRows[3]});  // in vectors

constexpr int64_t MostVectors(const std::array<int, 4>& rows) { return 4 - std::ranges::count(rows, 0); }

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;

RegisterBlock Block(int64_t columns) {
  const int64_t lanes = hn::Lanes(DF());
  const int64_t vectors = std::clamp<int64_t>(ceil_div(columns, lanes), 1, MostVectors(kRows));
  return {kRows[vectors - 1], vectors * lanes};
}

// One step of a chain: sum + a * b, rounded once to f32 or to f16.
struct F32Step {
  static constexpr std::array<int, 4> kMostRows = kRows;
  static constexpr bool kInMemory = true;
  static HWY_INLINE VF next(VF a, VF b, VF sum) { return hn::MulAdd(a, b, sum); }
};

// The product of two f16 is exact in f32. Rounding its sum to odd first, in f32, leaves the rounding to f16 to be
// the only one (Boldo and Melquiond 2008). Where conversions to f16 have a rounding of their own (x86), the sum is
// cut, and was inexact if a subtraction does not give the other term back: that of the larger term is exact.
// Elsewhere the error of the addition (Knuth's two-sum, exact here) turns an even sum towards the exact one.
// More rows would not fit into the registers beside its intermediate values.
struct F16Step {
  static constexpr std::array<int, 4> kMostRows = {6, 4, 0, 0};
  static constexpr bool kInMemory = false;  // whether it takes a left operand as it lies
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

// So many steps of k are asked for at once, as many before they are needed.
constexpr int64_t kStepsAhead = 16;

// Row i of `rows` adjacent ones, in all lanes. NEON multiplies by a lane of any vector: four rows come with one load.
HWY_INLINE VF BroadcastRow(const float* data, int i, [[maybe_unused]] int rows) {
#if HWY_TARGET == HWY_NEON
  if (rows >= 4) {
    const int first = std::min(i / 4 * 4, rows - 4);
    return VF(vdupq_laneq_f32(vld1q_f32(data + first), i - first));
  }
#endif
  return hn::Set(DF(), data[i]);
}

// The left operand of a panel, from some k on. Of one in memory a panel stays in the cache for all groups of
// columns; else a group for all panels.
struct AdjacentLeft {
  static constexpr bool kStaysInCache = false;
  HWY_INLINE VF at(int64_t k, int i, int rows) const { return BroadcastRow(data + k * step, i, rows); }
  HWY_INLINE void advance(int64_t steps) { data += steps * step; }
  HWY_INLINE void prefetch_step(int64_t) const {}
  HWY_INLINE void prefetch_lines(int) const {}
  const float* data;
  int64_t step;
};

struct AdjacentLeftInMemory : AdjacentLeft {
  static constexpr bool kStaysInCache = true;
  HWY_INLINE void prefetch_step(int64_t k) const { hwy::Prefetch(data + (k + kStepsAhead) * step); }
};

// Every third row has a pointer of its own: the others are one and two steps from it, which addresses can say.
struct AlongKLeft {
  static constexpr bool kStaysInCache = true;
  HWY_INLINE VF at(int64_t k, int i, int) const { return hn::Set(DF(), row[i / 3][k + i % 3 * step]); }
  HWY_INLINE void advance(int64_t steps) {
    for (const float*& data : row) data += steps;
  }
  HWY_INLINE void prefetch_step(int64_t) const {}
  HWY_INLINE void prefetch_lines(int rows) const {
    constexpr int64_t kAhead = 4 * kStepsAhead;  // a line each
    for (int i = 0; i < rows; ++i) hwy::Prefetch(row[i / 3] + kAhead + i % 3 * step);
  }
  const float* row[(kRows[0] + 2) / 3];
  int64_t step;
};

// Runs of adjacent rows share a pointer: more pointers than registers hold would be loaded in each step. Each value is
// `group` adjacent floats, in turns.
template <int run, int group>
struct GatheredLeft {
  static constexpr bool kStaysInCache = false;
  HWY_INLINE VF at(int64_t k, int i, int rows) const {
    if constexpr (run == ChainBlock::kWholePanel) return BroadcastRow(row[0] + offset[k], i, rows);
    const float* const value = row[i / run] + offset[k] + i % run * group;
    if constexpr (group == 1) return hn::Set(DF(), *value);
    uint64_t pair;
    std::memcpy(&pair, value, sizeof pair);
    return hn::BitCast(DF(), hn::Set(hn::Repartition<uint64_t, DF>(), pair));
  }
  HWY_INLINE void advance(int64_t steps) { offset += steps; }
  HWY_INLINE void prefetch_step(int64_t) const {}
  HWY_INLINE void prefetch_lines(int) const {}
  std::array<const float*, (kRows[0] + run - 1) / run> row;
  const int64_t* offset;
};

// A group of the right operand, from some k on.
struct Stepped {
  HWY_INLINE const float* at(int64_t k, int v) const { return data + k * step + v * hn::Lanes(DF()); }
  HWY_INLINE void advance(int64_t steps) { data += steps * step; }
  const float* data;
  int64_t step;
};

// Read for each panel: the first time a group comes from far away, so each panel asks for its share of the next one, and
// of what is wanted soon.
struct SteppedRight : Stepped {
  HWY_INLINE void prefetch_step(int64_t, int) const {}
  HWY_INLINE void prefetch_next(int vectors) {
    for (int64_t row = 0; row < next_rows; ++row, next += next_step) {
      for (int v = 0; v < vectors; ++v) hwy::Prefetch(next + v * kLine);
    }
    for (const float*& line : soon) hwy::Prefetch(line), line += kLine;
  }
  static constexpr int64_t kLine = 16;
  const float* next;
  int64_t next_step, next_rows;  // rows of it so far apart, so many at a time
  std::array<const float*, 2> soon;
};

struct SteppedRightInMemory : Stepped {
  HWY_INLINE void prefetch_step(int64_t k, int vectors) const {
    for (int v = 0; v < vectors; ++v) hwy::Prefetch(at(k + kStepsAhead, v));
    hwy::Prefetch(at(k + kStepsAhead, vectors - 1) + hn::Lanes(DF()) - 1);
  }
  HWY_INLINE void prefetch_next(int) {}
};

struct OffsetRight {
  HWY_INLINE const float* at(int64_t k, int v) const { return data + offset[k] + v * hn::Lanes(DF()); }
  HWY_INLINE void advance(int64_t steps) { offset += steps; }
  HWY_INLINE void prefetch_step(int64_t, int) const {}
  HWY_INLINE void prefetch_next(int) {}
  const float* data;
  const int64_t* offset;
};

template <class Step, int rows, int vectors, class Left, class Right>
HWY_NOINLINE void RegisterChains(const Left& left_begin, const Right& right_begin, int64_t depth, bool adds,
                                 float* out, int64_t ld) {
  const DF d;
  const int64_t lanes = hn::Lanes(d);
  Left left = left_begin;
  Right right = right_begin;
  VF sum[rows][vectors];
#pragma GCC unroll 15
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      hwy::Prefetch(out + i * ld + v * lanes);
      sum[i][v] = hn::Zero(d);
    }
  }
  for (int64_t steps; depth > 0; depth -= steps) {
    steps = std::min(kStepsAhead, depth);
    left.prefetch_lines(rows);
    right.prefetch_next(vectors);
    for (int64_t k = 0; k < steps; ++k) {
      VF column[vectors];
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) column[v] = hn::LoadU(d, right.at(k, v));
      left.prefetch_step(k);
      right.prefetch_step(k, vectors);
#pragma GCC unroll 15
      for (int i = 0; i < rows; ++i) {
        const VF a = left.at(k, i, rows);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) sum[i][v] = Step::next(a, column[v], sum[i][v]);
      }
    }
    left.advance(steps);
    right.advance(steps);
  }
#pragma GCC unroll 15
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      float* to = out + i * ld + v * lanes;
      hn::StoreU(adds ? hn::Add(hn::LoadU(d, to), sum[i][v]) : sum[i][v], d, to);
    }
  }
}

template <class Left, class Right>
using Kernel = void (*)(const Left&, const Right&, int64_t depth, bool adds, float* out, int64_t ld);

template <class Step, class Left, class Right, int vectors, size_t... i>
constexpr std::array<Kernel<Left, Right>, sizeof...(i)> Kernels(std::index_sequence<i...>) {
  return {RegisterChains<Step, i + 1, vectors, Left, Right>...};
}

// Where `out` ends with its columns: by way of memory that takes whole vectors.
template <class Left, class Right>
void RunWithin(Kernel<Left, Right> kernel, const Left& left, const Right& right, const ChainBlock& block,
               int64_t rows, int64_t columns, float* out) {
  HWY_ALIGN float whole[kMostSums * hn::MaxLanes(DF())];
  const int64_t width = ceil_div(columns, hn::Lanes(DF())) * hn::Lanes(DF());
  if (block.adds) {
    for (int64_t i = 0; i < rows; ++i) std::copy_n(out + i * block.ld, columns, whole + i * width);
  }
  kernel(left, right, block.depth, block.adds, whole, width);
  for (int64_t i = 0; i < rows; ++i) std::copy_n(whole + i * width, columns, out + i * block.ld);
}

// A column of a block, the group of the right operand that it lies in, and that group's element for it and k = 0.
struct Place {
  int64_t column, group;
  const float* right;
};

// The right operand of a panel, and what its chains ask for: what comes next is the next group or, of an operand in
// memory, the first one of the next steps.
class SteppedRightOf {
 public:
  explicit SteppedRightOf(const ChainBlock& block)
      : block_(block),
        panels_(block.last_panel - block.first_panel),
        times_(ceil_div(block.depth, kStepsAhead)),
        group_columns_(Block(block.columns).columns),
        packed_(block.right_step <= block.right_group),
        next_rows_(packed_ ? 1 : ceil_div(kStepsAhead, std::max<int64_t>(panels_, 1))) {}

  SteppedRight operator()(const Place& place, int64_t panel) const {
    SteppedRight right{{place.right, block_.right_step}, place.right, 0, 0, {place.right, place.right}};
    const bool last = place.column + group_columns_ >= block_.columns;
    if (!(last && packed_)) {
      right.next_rows = next_rows_;
      right.next_step = block_.right_step;
      right.next =
          (last ? block_.right + block_.depth * block_.right_step : place.right + block_.right_group) +
          panel * times_ * next_rows_ * block_.right_step;
    }
    for (size_t i = 0; i < block_.soon.size(); ++i) {
      if (block_.soon[i])
        right.soon[i] = block_.soon[i] + (place.group * panels_ + panel) * times_ * SteppedRight::kLine;
    }
    return right;
  }

 private:
  const ChainBlock& block_;
  int64_t panels_, times_, group_columns_;
  bool packed_;
  int64_t next_rows_;  // of the next group or step, for each time that a panel asks
};

template <class Step, class Left, class Right, class LeftOfPanel, class RightOfPanel>
void RunPanels(const ChainBlock& block, const LeftOfPanel& left_of, const RightOfPanel& right_of) {
  static constexpr auto kOne = Kernels<Step, Left, Right, 1>(std::make_index_sequence<Step::kMostRows[0]>());
  static constexpr auto kTwo = Kernels<Step, Left, Right, 2>(std::make_index_sequence<Step::kMostRows[1]>());
  static constexpr auto kThree =
      Kernels<Step, Left, Right, 3>(std::make_index_sequence<Step::kMostRows[2]>());
  static constexpr auto kFour = Kernels<Step, Left, Right, 4>(std::make_index_sequence<Step::kMostRows[3]>());
  static constexpr std::array<const Kernel<Left, Right>*, 4> kKernels = {kOne.data(), kTwo.data(),
                                                                         kThree.data(), kFour.data()};
  const int64_t lanes = hn::Lanes(DF()), group_columns = Block(block.columns).columns;
  const int64_t most_columns = std::min(group_columns, MostVectors(Step::kMostRows) * lanes);
  const int64_t first = block.panels.begin(block.first_panel);
  // Chains may be short, so what is done for each of them divides by nothing unless it cuts a panel.
  const auto run = [&](int64_t panel, const Place& place) {
    const int64_t begin = block.panels.begin(panel), rows = block.panels.rows(panel);
    const int64_t columns = std::min(most_columns, block.columns - place.column),
                  vectors = ceil_div(columns, lanes);
    const int64_t most = Step::kMostRows[vectors - 1];
    const int64_t part = rows <= most ? rows : ceil_div(rows, ceil_div(rows, most));
    const Right right = right_of(place, panel - block.first_panel);
    for (int64_t i = 0; i < rows; i += part) {
      const int64_t n = std::min(part, rows - i);
      const Kernel<Left, Right> kernel = kKernels[vectors - 1][n - 1];
      float* const out = block.out + (begin - first + i) * block.ld + place.column;
      if (block.whole_vectors || columns % lanes == 0)
        kernel(left_of(begin, rows, i), right, block.depth, block.adds, out, block.ld);
      else
        RunWithin(kernel, left_of(begin, rows, i), right, block, n, columns, out);
    }
  };
  const auto for_places = [&](const auto& body) {
    for (int64_t j = 0, group = 0; j < block.columns; j += group_columns, ++group) {
      const int64_t end = std::min(j + group_columns, block.columns);
      for (int64_t column = j; column < end; column += most_columns)
        body(Place{column, group, block.right + group * block.right_group + column - j});
    }
  };
  const auto for_panels = [&](const auto& body) {
    for (int64_t panel = block.first_panel; panel < block.last_panel; ++panel) body(panel);
  };
  if constexpr (Left::kStaysInCache)
    for_panels([&](int64_t panel) { for_places([&](const Place& place) { run(panel, place); }); });
  else
    for_places([&](const Place& place) { for_panels([&](int64_t panel) { run(panel, place); }); });
}

template <class Step, int run, int group, class Right, class RightOfPanel>
void RunGathered(const ChainBlock& block, const RightOfPanel& right_of) {
  const auto left_of = [&](int64_t begin, int64_t rows, int64_t i) {
    GatheredLeft<run, group> left{{}, block.left_offset};
    for (int64_t row = i; row < rows; row += run)
      left.row[(row - i) / run] = block.left + block.left_row[begin + row];
    return left;
  };
  RunPanels<Step, GatheredLeft<run, group>, Right>(block, left_of, right_of);
}

// Runs of rows as long as they can be.
template <class Step, int group, class RightOfPanel>
void RunGatheredInRuns(const ChainBlock& block, const RightOfPanel& right_of) {
  if constexpr (Step::kInMemory) {
    if (block.left_run == 3) return RunGathered<Step, 3, group, SteppedRight>(block, right_of);
    if (block.left_run == 5) return RunGathered<Step, 5, group, SteppedRight>(block, right_of);
  }
  RunGathered<Step, 1, group, SteppedRight>(block, right_of);
}

template <class Step>
void RunChains(const ChainBlock& block) {
  constexpr int kWholePanel = ChainBlock::kWholePanel;
  const int64_t first = block.panels.begin(block.first_panel);
  // Each from row i of the panel [begin, begin + rows) on.
  const auto panel = [&](int64_t begin, int64_t rows, int64_t i) {
    return AdjacentLeft{block.left + (begin - first) * block.left_depth + block.left_begin * rows + i, rows};
  };
  const auto adjacent = [&](int64_t begin, int64_t, int64_t i) {
    return AdjacentLeftInMemory{{block.left + begin + i, block.left_step}};
  };
  const auto along_k = [&](int64_t begin, int64_t rows, int64_t i) {
    AlongKLeft left{{}, block.left_step};
    for (int64_t row = i; row < rows; row += 3)
      left.row[(row - i) / 3] = block.left + (begin + row) * block.left_step;
    return left;
  };
  const auto in_memory = [&](const Place& place, int64_t) {
    return SteppedRightInMemory{{place.right, block.right_step}};
  };
  const auto offset = [&](const Place& place, int64_t) {
    return OffsetRight{place.right, block.right_offset};
  };
  switch (block.left_layout) {
    case LeftLayout::kPanels:
      if (block.right_offset) return RunPanels<Step, AdjacentLeft, OffsetRight>(block, panel, offset);
      return RunPanels<Step, AdjacentLeft, SteppedRight>(block, panel, SteppedRightOf(block));
    case LeftLayout::kGathered:
      if (block.right_offset) return RunGathered<Step, kWholePanel, 1, OffsetRight>(block, offset);
      if (block.left_run == kWholePanel)
        return RunGathered<Step, kWholePanel, 1, SteppedRight>(block, SteppedRightOf(block));
      if (block.left_group == 2) return RunGatheredInRuns<Step, 2>(block, SteppedRightOf(block));
      return RunGatheredInRuns<Step, 1>(block, SteppedRightOf(block));
    case LeftLayout::kAdjacent:
      if constexpr (Step::kInMemory)
        return RunPanels<Step, AdjacentLeftInMemory, SteppedRightInMemory>(block, adjacent, in_memory);
      break;
    case LeftLayout::kAlongK:
      if constexpr (Step::kInMemory)
        return RunPanels<Step, AlongKLeft, SteppedRightInMemory>(block, along_k, in_memory);
      break;
  }
  throw Error(ErrorCode::kInternal, "chain block", "f16 sums take no left operand as it lies in memory");
}

void RunChainBlock(const ChainBlock& block) {
  if (block.accumulate == Dtype::kF16)
    RunChains<F16Step>(block);
  else
    RunChains<F32Step>(block);
}

bool CutsSums() { return F16Step::kCuts; }

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
