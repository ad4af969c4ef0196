#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "engine/cuda/capture/instruction.h"
#include "engine/mma/vector_file.h"

namespace faultline {

// Where captured instructions run: a GPU, or a stand-in for it.
struct CaptureDevice {
  std::string name;  // of the product
  int architecture;  // 90 stands for sm_90
  // Fills D of every tile.
  std::function<void(const MatrixInstruction&, std::vector<VectorTile>&)> run;
};

// The program `capture`: `--instruction NAME --tiles N --seed S` writes a vector file (numerics.md 5) to `out`, with
// `--ties` of the tiles that show FLOOR; `--list` the registered instructions. Returns the exit code: 0, or 2 after
// one line on `errors`.
// `open_device` is called for a capture alone and throws Error if there is no device.
// Run on hardware: an NVIDIA H100 and an H200 (sm_90), built with CUDA 13.0, each of their 24 instructions; fragment
// layouts and the wgmma descriptor hold there. The code for sm_75, 80, 89, 100 and 120 was never run.
int capture_command(const std::vector<std::string>& arguments,
                    const std::function<CaptureDevice()>& open_device, std::ostream& out,
                    std::ostream& errors);

// Returns the matrix unit (engine/mma) that models an instruction on an architecture, or "sm_<architecture>".
std::string chip_name(const std::string& instruction, int architecture);

}  // namespace faultline
