#include <iostream>

#include "engine/cuda/capture/gpu.h"

int main(int argc, char** argv) {
  return faultline::capture_command({argv + 1, argv + argc}, faultline::open_gpu, std::cout, std::cerr);
}
