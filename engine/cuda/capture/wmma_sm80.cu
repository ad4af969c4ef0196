// The formats that came with sm_80; compiled for it and newer.
#include <cuda_bf16.h>

#include "engine/cuda/capture/wmma.cuh"

namespace faultline {
namespace {

const Registered<MatrixInstruction> kBf16F32{
    "wmma.m16n16k16.bf16.f32",
    wmma_row<__nv_bfloat16, __nv_bfloat16, float, 16>(Dtype::kBf16, Dtype::kF32, 80)};
const Registered<MatrixInstruction> kTf32F32{
    "wmma.m16n16k8.tf32.f32",
    wmma_row<float, nvcuda::wmma::precision::tf32, float, 8>(Dtype::kTf32, Dtype::kF32, 80)};

}  // namespace
}  // namespace faultline
