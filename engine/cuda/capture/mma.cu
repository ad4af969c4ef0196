// mma.sync, one warp a tile of 16 x 8.
#include "engine/cuda/capture/fragments.cuh"
#include "engine/cuda/capture/instruction.h"

namespace faultline {
namespace {

// The operand lists by words of a row of A and by the format of D.
#define FAULTLINE_MMA_4_F32(ptx)                                                    \
  asm volatile("mma.sync.aligned." ptx " {%0,%1,%2,%3},{%4,%5},{%6},{%0,%1,%2,%3};" \
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                     \
               : "r"(a[0]), "r"(a[1]), "r"(b[0]))
#define FAULTLINE_MMA_8_F32(ptx)                                                             \
  asm volatile("mma.sync.aligned." ptx " {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};" \
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                              \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
#define FAULTLINE_MMA_4_F16(ptx)                                        \
  asm volatile("mma.sync.aligned." ptx " {%0,%1},{%2,%3},{%4},{%0,%1};" \
               : "+r"(d[0]), "+r"(d[1])                                 \
               : "r"(a[0]), "r"(a[1]), "r"(b[0]))
#define FAULTLINE_MMA_8_F16(ptx)                                                 \
  asm volatile("mma.sync.aligned." ptx " {%0,%1},{%2,%3,%4,%5},{%6,%7},{%0,%1};" \
               : "+r"(d[0]), "+r"(d[1])                                          \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))

template <class Row>
__global__ void run_tiles(const uint32_t* a, const uint32_t* b, const uint32_t* c, uint32_t* d) {
  constexpr int words = Row::kWords;
  Fragment<typename Row::Accumulator, words> part;
  part.load(a + blockIdx.x * kWarpRows * words, c + blockIdx.x * part.kWarpWordsOfD);
  // Of column g of B, the same words.
  uint32_t right[words / 4];
  for (int r = 0; r < words / 4; ++r)
    right[r] = b[(blockIdx.x * kWarpColumns + part.g) * words + part.t + 4 * r];
  Row::run(part.a, right, part.d);
  part.store(d + blockIdx.x * part.kWarpWordsOfD);
}

template <class Row>
void launch(const void* a, const void* b, const void* c, void* d, int tiles) {
  run_tiles<Row><<<tiles, kLanes>>>(static_cast<const uint32_t*>(a), static_cast<const uint32_t*>(b),
                                    static_cast<const uint32_t*>(c), static_cast<uint32_t*>(d));
}

#define FAULTLINE_MMA(row, name, ptx, architecture, input, depth, words, accumulate)             \
  struct row {                                                                                   \
    using Accumulator = accumulate##Accumulator;                                                 \
    static constexpr int kWords = words;                                                         \
    static __device__ void run(const uint32_t* a, const uint32_t* b, Accumulator::Register* d) { \
      if constexpr (kCompiledFor >= architecture) FAULTLINE_MMA_##words##_##accumulate(ptx);     \
    }                                                                                            \
  };                                                                                             \
  const Registered<MatrixInstruction> k##row{                                                    \
      name,                                                                                      \
      {Dtype::input, row::Accumulator::kDtype, kWarpRows, kWarpColumns, depth, architecture,     \
       kNewestArchitecture, launch<row>}};

// clang-format off
FAULTLINE_MMA(K8F16F32,   "mma.m16n8k8.f16.f32",   "m16n8k8.row.col.f32.f16.f16.f32",    75, kF16,  8,  4, F32)
FAULTLINE_MMA(K8F16F16,   "mma.m16n8k8.f16.f16",   "m16n8k8.row.col.f16.f16.f16.f16",    75, kF16,  8,  4, F16)
FAULTLINE_MMA(K16F16F32,  "mma.m16n8k16.f16.f32",  "m16n8k16.row.col.f32.f16.f16.f32",   80, kF16,  16, 8, F32)
FAULTLINE_MMA(K16F16F16,  "mma.m16n8k16.f16.f16",  "m16n8k16.row.col.f16.f16.f16.f16",   80, kF16,  16, 8, F16)
FAULTLINE_MMA(K8Bf16F32,  "mma.m16n8k8.bf16.f32",  "m16n8k8.row.col.f32.bf16.bf16.f32",  80, kBf16, 8,  4, F32)
FAULTLINE_MMA(K16Bf16F32, "mma.m16n8k16.bf16.f32", "m16n8k16.row.col.f32.bf16.bf16.f32", 80, kBf16, 16, 8, F32)
FAULTLINE_MMA(K4Tf32F32,  "mma.m16n8k4.tf32.f32",  "m16n8k4.row.col.f32.tf32.tf32.f32",  80, kTf32, 4,  4, F32)
FAULTLINE_MMA(K8Tf32F32,  "mma.m16n8k8.tf32.f32",  "m16n8k8.row.col.f32.tf32.tf32.f32",  80, kTf32, 8,  8, F32)
FAULTLINE_MMA(K32E4m3F32, "mma.m16n8k32.e4m3.f32", "m16n8k32.row.col.f32.e4m3.e4m3.f32", 89, kE4m3, 32, 8, F32)
FAULTLINE_MMA(K32E5m2F32, "mma.m16n8k32.e5m2.f32", "m16n8k32.row.col.f32.e5m2.e5m2.f32", 89, kE5m2, 32, 8, F32)
FAULTLINE_MMA(K32E4m3F16, "mma.m16n8k32.e4m3.f16", "m16n8k32.row.col.f16.e4m3.e4m3.f16", 89, kE4m3, 32, 8, F16)
FAULTLINE_MMA(K32E5m2F16, "mma.m16n8k32.e5m2.f16", "m16n8k32.row.col.f16.e5m2.e5m2.f16", 89, kE5m2, 32, 8, F16)
// clang-format on

}  // namespace
}  // namespace faultline
