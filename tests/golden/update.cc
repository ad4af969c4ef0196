// Writes tests/golden/lenet.txt: `tools/bazel run //tests/golden:update`.
#include <cstdio>
#include <cstdlib>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "tests/golden/golden.h"

int main() try {
  using namespace faultline;
  const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  if (!workspace)
    throw Error(ErrorCode::kArgument, "update", "run it by tools/bazel run //tests/golden:update");
  std::string text =
      "# recipe, step, digest of the step, first digits of the digest of each of its tensors\n";
  for (const std::string& recipe : harness::kGoldenRecipes) {
    for (const auto& record : harness::golden_steps(recipe, "best", 1)) {
      text += harness::golden_line(recipe, record) + "\n";
    }
  }
  write_file(std::string(workspace) + "/tests/golden/lenet.txt", text);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "faultline: %s\n", error.what());
  return 2;
}
