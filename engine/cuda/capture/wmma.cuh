// The C++ interface of matrix units, nvcuda::wmma, one warp a tile of 16 x 16.
#pragma once

#include <cuda_runtime.h>
#include <mma.h>

#include "engine/cuda/capture/instruction.h"

namespace faultline {

inline constexpr int kWmmaSize = 16;

// Stored is the type in memory, Read the type that the unit reads.
template <class Stored, class Read, class Accumulate, int k>
__global__ void run_wmma(const Stored* a, const Stored* b, const Accumulate* c, Accumulate* d) {
  namespace wmma = nvcuda::wmma;
  constexpr int size = kWmmaSize;
  const int64_t tile = blockIdx.x;
  wmma::fragment<wmma::matrix_a, size, size, k, Read, wmma::row_major> left;
  wmma::fragment<wmma::matrix_b, size, size, k, Read, wmma::col_major> right;
  wmma::fragment<wmma::accumulator, size, size, k, Accumulate> sum;
  wmma::load_matrix_sync(left, a + tile * size * k, k);
  wmma::load_matrix_sync(right, b + tile * size * k, k);
  wmma::load_matrix_sync(sum, c + tile * size * size, size, wmma::mem_row_major);
  wmma::mma_sync(sum, left, right, sum);
  wmma::store_matrix_sync(d + tile * size * size, sum, size, wmma::mem_row_major);
}

template <class Stored, class Read, class Accumulate, int k>
void launch_wmma(const void* a, const void* b, const void* c, void* d, int tiles) {
  constexpr int kLanes = 32;
  run_wmma<Stored, Read, Accumulate, k>
      <<<tiles, kLanes>>>(static_cast<const Stored*>(a), static_cast<const Stored*>(b),
                          static_cast<const Accumulate*>(c), static_cast<Accumulate*>(d));
}

template <class Stored, class Read, class Accumulate, int k>
MatrixInstruction wmma_row(Dtype input, Dtype accumulate, int architecture) {
  return {input, accumulate,   kWmmaSize,           kWmmaSize,
          k,     architecture, kNewestArchitecture, launch_wmma<Stored, Read, Accumulate, k>};
}

}  // namespace faultline
