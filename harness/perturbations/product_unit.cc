#include "harness/perturbations/product_unit.h"

#include <algorithm>

#include "engine/mma/unit.h"

namespace faultline::harness {

bool unit_takes(const std::string& unit, const Recipe& recipe, const std::string& accumulate) {
  const Registry<Unit>& units = Registry<Unit>::instance();
  if (!units.contains(unit)) return false;
  const std::vector<UnitFormat>& formats = units.find(unit).formats;
  const UnitFormat wanted{dtype_from_name(recipe.text("precision.compute")), dtype_from_name(accumulate)};
  return std::find(formats.begin(), formats.end(), wanted) != formats.end();
}

bool names_chip(const Recipe& recipe) {
  const std::string& unit = recipe.text("precision.unit");
  return unit != kFmaUnit && unit != "eigen";
}

}  // namespace faultline::harness
