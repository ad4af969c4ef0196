#pragma once

#include <cstdint>

namespace faultline {

// A matrix [K, N] that is read from an image, as in a convolution. Its columns come in runs of adjacent ones: element
// (k, n) is at image[step[k] + origin[n / run] + n % run]. The image is read in whole vectors, up to one of them less
// one past its end.
struct Windows {
  const float* image;
  int64_t size;  // of the image, from there on
  const int64_t* step;
  const int64_t* origin;
  int64_t run;

  float at(int64_t k, int64_t n) const { return image[step[k] + origin[n / run] + n % run]; }
};

}  // namespace faultline
