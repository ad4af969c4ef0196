#include "harness/manifest.h"

#include "engine/mma/unit.h"
#include "harness/machine.h"

namespace faultline::harness {

Json make_manifest(const Recipe& recipe, const Json& resolved, const Json& labels) {
  Json manifest = machine_manifest();
  manifest["recipe"] = recipe.json();
  manifest["resolved"] = resolved;
  manifest["unit"] = Registry<Unit>::instance().find(recipe.text("precision.unit")).description;
  manifest["labels"] = labels;
  return manifest;
}

}  // namespace faultline::harness
