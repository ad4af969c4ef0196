#pragma once

#include <vector>

#include "engine/kernels/packing.h"
#include "engine/kernels/planes.h"
#include "engine/mma/unit.h"

namespace faultline {

struct WeightGradient;

// Where the taps (row) and the positions of a sample (column) read the image: at the sum of both offsets.
struct ImageOffsets {
  ImageOffsets(const Conv2dShape& shape, const PlaneLayout& image) : tap(image_taps(shape, image)) {
    for (int64_t h = 0; h < shape.OH(); ++h) {
      for (int64_t w = 0; w < shape.OW(); ++w) position.push_back(h * image.width + w);
    }
  }
  explicit ImageOffsets(const WeightGradient& g);

  std::vector<int64_t> tap, position;
};

// A convolution's dw [OC, taps] from its image and dy, a dense matrix [N * OC, OH * OW], on a unit.
struct WeightGradient {
  const Conv2dShape& shape;
  const Planes& image;
  ConstArray dy;
  Array dw;
  const Arithmetic& arithmetic;
};
inline ImageOffsets::ImageOffsets(const WeightGradient& g) : ImageOffsets(g.shape, g.image.layout()) {}

void weight_gradient(const WeightGradient& gradient, const Unit& unit, Dtype input);

// The same from bf16, on a unit that packs it itself.
struct TileWeightGradient {
  const Conv2dShape& shape;
  const PlanesOf<Bf16>& image;
  const Bf16* dy;  // dense
  Array dw;
};
void weight_gradient_by_tiles(const TileWeightGradient& gradient, const UnitTiles& tiles,
                              const Arithmetic& arithmetic);

}  // namespace faultline
