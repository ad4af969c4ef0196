// wgmma of Hopper, one warpgroup a tile of 64 x 8: a warp has 16 rows. A comes from registers, B from shared
// memory through a descriptor (PTX ISA, "Asynchronous warpgroup level matrix instructions"). k is 32 bytes in
// every format. This file is compiled for sm_90a alone.
#include "engine/cuda/capture/fragments.cuh"
#include "engine/cuda/capture/instruction.h"

namespace faultline {
namespace {

constexpr int kRows = 64, kColumns = 8, kWords = 8, kThreads = 128;
constexpr int kHopper = 90;

// The predicate that is true keeps C. What follows it are the signs of A and B and, for 16-bit formats, that B lies
// column by column. The instruction is waited for in the same statement: D must not be touched before.
#define FAULTLINE_WGMMA_TEXT(one, ptx, d, a, b, modifiers)                 \
  "{.reg .pred keep; setp.eq.b32 keep," one                                \
  ",1;"                                                                    \
  "wgmma.fence.sync.aligned;"                                              \
  "wgmma.mma_async.sync.aligned." ptx " " d "," a "," b ",keep," modifiers \
  ";"                                                                      \
  "wgmma.commit_group.sync.aligned;"                                       \
  "wgmma.wait_group.sync.aligned 0;}"
#define FAULTLINE_WGMMA_F32(ptx, modifiers)                                                       \
  asm volatile(FAULTLINE_WGMMA_TEXT("%9", ptx, "{%0,%1,%2,%3}", "{%4,%5,%6,%7}", "%8", modifiers) \
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                   \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(1)                       \
               : "memory")
#define FAULTLINE_WGMMA_F16(ptx, modifiers)                                                 \
  asm volatile(FAULTLINE_WGMMA_TEXT("%7", ptx, "{%0,%1}", "{%2,%3,%4,%5}", "%6", modifiers) \
               : "+r"(d[0]), "+r"(d[1])                                                     \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(1)                 \
               : "memory")

// Eight columns of 16 bytes of k make a core matrix of 128 bytes; the second one along k follows the first.
// There is one across, so that the stride in that direction is never used and both may say 128. Units of 16
// bytes, no swizzle.
__device__ uint64_t descriptor(const void* shared) {
  constexpr uint64_t kCoreMatrix = 128 >> 4;
  return (__cvta_generic_to_shared(shared) >> 4 & 0x3fff) | kCoreMatrix << 16 | kCoreMatrix << 32;
}

template <class Row>
__global__ void run_tiles(const uint32_t* a, const uint32_t* b, const uint32_t* c, uint32_t* d) {
  __shared__ alignas(128) uint32_t right[kColumns * kWords];
  if (threadIdx.x < kColumns * kWords) {
    const int column = threadIdx.x / kWords, word = threadIdx.x % kWords;
    right[word / 4 * 32 + column * 4 + word % 4] = b[blockIdx.x * kColumns * kWords + threadIdx.x];
  }
  Fragment<typename Row::Accumulator, kWords> part;
  const int64_t warp = blockIdx.x * (kThreads / kLanes) + threadIdx.x / kLanes;
  part.load(a + warp * kWarpRows * kWords, c + warp * part.kWarpWordsOfD);
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  // The instruction reads shared memory through another proxy than the stores above.
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  Row::run(part.a, descriptor(right), part.d);
#endif
  part.store(d + warp * part.kWarpWordsOfD);
}

template <class Row>
void launch(const void* a, const void* b, const void* c, void* d, int tiles) {
  run_tiles<Row><<<tiles, kThreads>>>(static_cast<const uint32_t*>(a), static_cast<const uint32_t*>(b),
                                      static_cast<const uint32_t*>(c), static_cast<uint32_t*>(d));
}

#define FAULTLINE_WGMMA(row, name, ptx, modifiers, input, depth, accumulate)               \
  struct row {                                                                             \
    using Accumulator = accumulate##Accumulator;                                           \
    static __device__ void run(const uint32_t* a, uint64_t b, Accumulator::Register* d) {  \
      if constexpr (kCompiledFor == kHopper) FAULTLINE_WGMMA_##accumulate(ptx, modifiers); \
    }                                                                                      \
  };                                                                                       \
  const Registered<MatrixInstruction> k##row{                                              \
      name,                                                                                \
      {Dtype::input, row::Accumulator::kDtype, kRows, kColumns, depth, kHopper, kHopper, launch<row>}};

// clang-format off
FAULTLINE_WGMMA(K16F16F32,  "wgmma.m64n8k16.f16.f32",  "m64n8k16.f32.f16.f16",   "1,1,0", kF16,  16, F32)
FAULTLINE_WGMMA(K16F16F16,  "wgmma.m64n8k16.f16.f16",  "m64n8k16.f16.f16.f16",   "1,1,0", kF16,  16, F16)
FAULTLINE_WGMMA(K16Bf16F32, "wgmma.m64n8k16.bf16.f32", "m64n8k16.f32.bf16.bf16", "1,1,0", kBf16, 16, F32)
FAULTLINE_WGMMA(K8Tf32F32,  "wgmma.m64n8k8.tf32.f32",  "m64n8k8.f32.tf32.tf32",  "1,1",   kTf32, 8,  F32)
FAULTLINE_WGMMA(K32E4m3F32, "wgmma.m64n8k32.e4m3.f32", "m64n8k32.f32.e4m3.e4m3", "1,1",   kE4m3, 32, F32)
FAULTLINE_WGMMA(K32E5m2F32, "wgmma.m64n8k32.e5m2.f32", "m64n8k32.f32.e5m2.e5m2", "1,1",   kE5m2, 32, F32)
FAULTLINE_WGMMA(K32E4m3F16, "wgmma.m64n8k32.e4m3.f16", "m64n8k32.f16.e4m3.e4m3", "1,1",   kE4m3, 32, F16)
FAULTLINE_WGMMA(K32E5m2F16, "wgmma.m64n8k32.e5m2.f16", "m64n8k32.f16.e5m2.e5m2", "1,1",   kE5m2, 32, F16)
// clang-format on

}  // namespace
}  // namespace faultline
