#include <cuda_runtime.h>

#include <cstring>

#include "engine/base/error.h"
#include "engine/cuda/capture/gpu.h"

namespace faultline {
namespace {

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw Error(ErrorCode::kUnsupported, "gpu", std::string(what) + ": " + cudaGetErrorString(status));
}

// Memory of the GPU.
class GpuBytes {
 public:
  explicit GpuBytes(size_t size) { check(cudaMalloc(&data_, size), "no memory"); }
  explicit GpuBytes(const std::vector<unsigned char>& bytes) : GpuBytes(bytes.size()) {
    check(cudaMemcpy(data_, bytes.data(), bytes.size(), cudaMemcpyHostToDevice), "copying to it failed");
  }
  ~GpuBytes() { cudaFree(data_); }
  GpuBytes(const GpuBytes&) = delete;
  GpuBytes& operator=(const GpuBytes&) = delete;

  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

// One matrix of all tiles, as it lies in the GPU's memory: little-endian patterns without gaps.
std::vector<unsigned char> packed(const std::vector<VectorTile>& tiles,
                                  std::vector<uint32_t> VectorTile::*matrix, Dtype dtype) {
  std::vector<unsigned char> bytes;
  for (const VectorTile& tile : tiles) {
    for (const uint32_t pattern : tile.*matrix) {
      for (int i = 0; i < size_bytes(dtype); ++i)
        bytes.push_back(static_cast<unsigned char>(pattern >> 8 * i));
    }
  }
  return bytes;
}

void run(const MatrixInstruction& instruction, std::vector<VectorTile>& tiles) {
  const GpuBytes a(packed(tiles, &VectorTile::a, instruction.input)),
      b(packed(tiles, &VectorTile::b, instruction.input)),
      c(packed(tiles, &VectorTile::c, instruction.accumulate));
  const size_t size = size_bytes(instruction.accumulate),
               count = tiles.size() * instruction.m * instruction.n;
  const GpuBytes d(count * size);
  instruction.launch(a.data(), b.data(), c.data(), d.data(), static_cast<int>(tiles.size()));
  check(cudaGetLastError(), "the instruction could not be started");
  std::vector<unsigned char> bytes(count * size);
  check(cudaMemcpy(bytes.data(), d.data(), bytes.size(), cudaMemcpyDeviceToHost), "the instruction failed");
  const unsigned char* next = bytes.data();
  for (VectorTile& tile : tiles) {
    for (uint32_t& pattern : tile.d) {
      std::memcpy(&pattern, next, size);
      next += size;
    }
  }
}

}  // namespace

CaptureDevice open_gpu() {
  int count = 0;
  check(cudaGetDeviceCount(&count), "no NVIDIA GPU can be used here");
  if (count == 0)
    throw Error(ErrorCode::kUnsupported, "gpu", "no NVIDIA GPU can be used here: there is none");
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, 0), "its properties cannot be read");
  return {properties.name, 10 * properties.major + properties.minor, run};
}

}  // namespace faultline
