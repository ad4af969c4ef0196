// The formats that every architecture has.
#include <cuda_fp16.h>

#include "engine/cuda/capture/wmma.cuh"

namespace faultline {
namespace {

const Registered<MatrixInstruction> kF16F32{
    "wmma.m16n16k16.f16.f32", wmma_row<__half, __half, float, 16>(Dtype::kF16, Dtype::kF32, 75)};
const Registered<MatrixInstruction> kF16F16{
    "wmma.m16n16k16.f16.f16", wmma_row<__half, __half, __half, 16>(Dtype::kF16, Dtype::kF16, 75)};

}  // namespace
}  // namespace faultline
