// The fast models. Both instructions are fma chains over k in an order of their own, so B is packed in that
// order and one kernel serves both. Flushing costs more than the chain itself and is hardly ever needed: a
// non-zero product is a multiple of 2^(ea + eb - 14), ea and eb the smallest exponents of a block's non-zero
// operands, hence so is every sum; where that is at least 2^-126 nothing can be tiny.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "engine/base/parallel.h"
#include "engine/mma/intel_bf16.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/mma/intel_bf16_model.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef FAULTLINE_MMA_INTEL_BF16_MODEL_CC_
#define FAULTLINE_MMA_INTEL_BF16_MODEL_CC_

namespace faultline {

inline constexpr int64_t kBlockRows = 4, kTileDepth = 32;
inline constexpr int kSmallestExponent = -126, kProductFractionBits = 14;

// The operands in the order of the chains: blocks of 4 rows of A as [k][4], of `width` columns of B as
// [k][width], subnormals read as zero, completed by +0 to whole blocks and an even k.
struct ChainOperand {
  int64_t size, width;  // rows of A or columns of B, and how many make a block
  std::vector<float> values;
  std::vector<int> smallest;  // of each block, the exponent of its smallest non-zero value

  int64_t blocks() const { return (size + width - 1) / width; }
};

// The operands of one product. `step` is the length of a chain: 32 for AMX, where even and odd k have a chain
// each that starts from +0, 0 for AVX-512, whose one chain runs through.
struct ChainProduct {
  int64_t depth, step;
  ChainOperand a, b;
  float* c;
};

}  // namespace faultline

#endif  // FAULTLINE_MMA_INTEL_BF16_MODEL_CC_

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;
constexpr int kVectors = 2;

int64_t BlockColumns() { return kVectors * hn::Lanes(DF()); }

struct Unflushed {
  static HWY_INLINE VF fma(VF a, VF b, VF c) { return hn::MulAdd(a, b, c); }
  static HWY_INLINE VF add(VF x, VF y) { return hn::Add(x, y); }
};

// Operands are not subnormal: packing or an earlier step has flushed them.
struct Flushed {
  static HWY_INLINE VF zero_where(hn::Mask<DF> tiny, VF x) {
    return hn::IfThenElse(tiny, hn::CopySign(hn::Zero(DF()), x), x);
  }
  // As the plain model: what is at most 2^-126 is judged again with 2^64 times the operands.
  static HWY_INLINE VF fma(VF a, VF b, VF c) {
    const DF d;
    const VF sum = hn::MulAdd(a, b, c), large = hn::Set(d, 0x1p64f);
    const auto small = hn::Le(hn::Abs(sum), hn::Set(d, 0x1p-126f));
    if (hn::AllFalse(d, small)) return sum;
    const VF scaled = hn::MulAdd(hn::Mul(a, large), b, hn::Mul(c, large));
    return zero_where(hn::And(small, hn::Lt(hn::Abs(scaled), hn::Set(d, 0x1p-62f))), sum);
  }
  static HWY_INLINE VF add(VF x, VF y) {
    const VF sum = hn::Add(x, y);
    return zero_where(hn::Lt(hn::Abs(sum), hn::Set(DF(), 0x1p-126f)), sum);
  }
};

using Chains = VF[kBlockRows][kVectors];

// Carries the chains of one block of outputs through `length` steps.
template <class Step>
HWY_INLINE void RunChains(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, int64_t length,
                          Chains& sum) {
  const DF d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t k = 0; k < length; ++k, a += kBlockRows, b += kVectors * lanes) {
    const VF right[kVectors] = {hn::LoadU(d, b), hn::LoadU(d, b + lanes)};
#pragma GCC unroll 4
    for (int i = 0; i < kBlockRows; ++i) {
      const VF left = hn::Set(d, a[i]);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sum[i][v] = Step::fma(left, right[v], sum[i][v]);
    }
  }
}

template <class Body>
HWY_INLINE void ForChains(Body body) {
#pragma GCC unroll 4
  for (int i = 0; i < kBlockRows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) body(i, v);
  }
}

template <class Step>
HWY_NOINLINE void BlockOfOutputs(const ChainProduct& product, const float* a, const float* b, float* out) {
  const DF d;
  const int64_t lanes = hn::Lanes(d), width = kVectors * lanes;
  Chains sum, even, odd;
  ForChains([&](int i, int v) HWY_ATTR { sum[i][v] = hn::Zero(d); });
  if (product.step == 0) RunChains<Step>(a, b, product.depth, sum);
  for (int64_t k = 0; product.step > 0 && k < product.depth; k += product.step) {
    const int64_t half = std::min(product.step, product.depth - k) / 2;
    ForChains([&](int i, int v) HWY_ATTR { even[i][v] = odd[i][v] = hn::Zero(d); });
    RunChains<Step>(a + k * kBlockRows, b + k * width, half, even);
    RunChains<Step>(a + (k + half) * kBlockRows, b + (k + half) * width, half, odd);
    ForChains([&](int i, int v)
                  HWY_ATTR { sum[i][v] = Step::add(sum[i][v], Step::add(even[i][v], odd[i][v])); });
  }
  ForChains([&](int i, int v) HWY_ATTR { hn::StoreU(sum[i][v], d, out + i * width + v * lanes); });
}

// Writes the outputs of one block of rows and one of columns.
void RunBlock(const ChainProduct& product, int64_t row_block, int64_t column_block) {
  const ChainOperand &a = product.a, &b = product.b;
  const int least = a.smallest[row_block] + b.smallest[column_block] - kProductFractionBits;
  const auto block = least >= kSmallestExponent ? BlockOfOutputs<Unflushed> : BlockOfOutputs<Flushed>;
  float out[kBlockRows * kVectors * HWY_MAX_BYTES / sizeof(float)];
  block(product, a.values.data() + row_block * product.depth * a.width,
        b.values.data() + column_block * product.depth * b.width, out);
  const int64_t m = row_block * a.width, n = column_block * b.width;
  const int64_t rows = std::min(a.width, a.size - m), columns = std::min(b.width, b.size - n);
  for (int64_t i = 0; i < rows; ++i)
    std::copy_n(out + i * b.width, columns, product.c + (m + i) * b.size + n);
}

}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(BlockColumns);
HWY_EXPORT(RunBlock);

constexpr int64_t kWorkPerThread = 1 << 17;

// The place of index k in the order of the chains.
int64_t amx_place(int64_t k, int64_t depth) {
  const int64_t begin = k / kTileDepth * kTileDepth, half = std::min(kTileDepth, depth - begin) / 2;
  return begin + (k - begin) / 2 + (k % 2) * half;
}

int64_t avx512_place(int64_t k, int64_t) { return k ^ 1; }

using Place = int64_t (*)(int64_t k, int64_t depth);

constexpr uint32_t kSmallestNormalBits = 0x00800000, kLargestBits = 0x7f000000, kSign = 0x80000000;

// Copies values that are `stride` apart, subnormals as zero, and lowers `smallest` to the least pattern of a
// normal magnitude among them. Integers, because the compiler makes vector code of them.
HWY_INLINE void pack_step(const float* data, int64_t stride, int64_t count, float* out, uint32_t& smallest) {
  uint32_t least = smallest - kSmallestNormalBits;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(data[i * stride]), magnitude = bits & ~kSign;
    least = std::min(least, magnitude - kSmallestNormalBits);  // of what is not normal a large number
    out[i] = std::bit_cast<float>(magnitude < kSmallestNormalBits ? bits & kSign : bits);
  }
  smallest = least + kSmallestNormalBits;
}

// Packs `size` rows or columns; element (i, k) lies at i * stride_i + k * stride_k.
ChainOperand pack(const float* data, int64_t size, int64_t K, int64_t stride_i, int64_t stride_k,
                  int64_t width, const std::vector<int64_t>& place) {
  ChainOperand packed{size, width, {}, {}};
  const int64_t depth = place.size();
  packed.values.assign(packed.blocks() * depth * width, 0);
  packed.smallest.resize(packed.blocks());
  for (int64_t block = 0; block < packed.blocks(); ++block) {
    const int64_t begin = block * width, count = std::min(width, size - begin);
    float* const out = packed.values.data() + block * depth * width;
    uint32_t smallest = kLargestBits;
    for (int64_t k = 0; k < K; ++k) {
      const float* const from = data + begin * stride_i + k * stride_k;
      if (stride_i == 1)
        pack_step(from, 1, count, out + place[k] * width, smallest);
      else
        pack_step(from, stride_i, count, out + place[k] * width, smallest);
    }
    packed.smallest[block] = static_cast<int>(smallest >> 23) - 127;
  }
  return packed;
}

void run(const UnitProduct& p, int64_t step, Place place_of) {
  const int64_t depth = (p.K + 1) / 2 * 2;
  std::vector<int64_t> place(depth);
  for (int64_t k = 0; k < depth; ++k) place[k] = place_of(k, depth);
  const int64_t columns = HWY_DYNAMIC_DISPATCH(BlockColumns)();
  const ChainProduct product{depth, step, pack(p.a, p.M, p.K, p.K, 1, kBlockRows, place),
                             pack(p.b, p.N, p.K, 1, p.N, columns, place), p.c};
  const int64_t blocks = product.b.blocks(), work = kBlockRows * p.N * p.K;
  parallel_for("intel_bf16_model", product.a.blocks(), 1 + kWorkPerThread / std::max<int64_t>(work, 1),
               [&](int64_t begin, int64_t end) {
                 for (int64_t column = 0; column < blocks; ++column) {
                   for (int64_t row = begin; row < end; ++row)
                     HWY_DYNAMIC_DISPATCH(RunBlock)(product, row, column);
                 }
               });
}

}  // namespace

void amx_bf16_model(const UnitProduct& product) { run(product, kTileDepth, amx_place); }
void avx512_bf16_model(const UnitProduct& product) { run(product, 0, avx512_place); }

}  // namespace faultline
#endif  // HWY_ONCE
