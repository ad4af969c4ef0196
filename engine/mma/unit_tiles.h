#pragma once

#include "engine/mma/unit.h"

namespace faultline {

// A product of f32 arrays by the tiles of a unit, on several threads under the name `kernel`.
void product_by_tiles(const char* kernel, const UnitTiles& tiles, const UnitProduct& product);

// The tiles of a unit that has a product of f32 arrays alone.
UnitTiles tiles_of_product(const std::function<void(const UnitProduct&)>& product);

}  // namespace faultline
