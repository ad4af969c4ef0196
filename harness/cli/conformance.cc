#include "engine/mma/conformance.h"

#include <fmt/format.h>

#include <iostream>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/numerics/ulp.h"
#include "harness/cli/command_line.h"

namespace faultline::harness {
namespace {

constexpr size_t kShown = 5;

struct Input {
  std::string path, unit;
  VectorFile file;
};

Input read(const std::string& path, const std::string& unit) {
  VectorFile file = parse_vector_file(path, read_file(path));
  if (unit.empty() && file.chip.empty()) {
    throw Error(ErrorCode::kArgument, path, "names no chip in its first line: say --unit");
  }
  const std::string judged = unit.empty() ? file.chip : unit;
  return {path, judged, std::move(file)};
}

void show(const VectorDifference& difference, const std::string& unit, Dtype d) {
  const auto hex = [d](uint32_t bits) {
    return fmt::format("{} ({:.9g})", bits_hex(bits, d), value_of(bits, d));
  };
  std::cout << fmt::format("  line {}, {}, row {}, column {}: captured {}, {} gives {}", difference.line,
                           difference.category, difference.row, difference.column, hex(difference.captured),
                           unit, hex(difference.plain));
  if (difference.fast != difference.plain)
    std::cout << fmt::format(", its fast path {}", hex(difference.fast));
  std::cout << fmt::format("; the exact sum is {:.17g}\n", difference.exact);
}

int conformance_command(const std::string& unit, const std::vector<std::string>& paths) {
  std::vector<Input> inputs;
  for (const std::string& path : paths) inputs.push_back(read(path, unit));
  int64_t differences = 0;
  for (const Input& input : inputs) {
    const Conformance result = judge(input.path, input.file, input.unit, kShown);
    std::cout << fmt::format("{}: {}, {} tiles, {} elements ({} by the fast path too), {} differences\n",
                             input.path, input.unit, input.file.tiles.size(), result.elements,
                             result.fast_elements, result.differences);
    for (const VectorDifference& difference : result.first) show(difference, input.unit, input.file.d);
    differences += result.differences;
  }
  return differences == 0 ? kAsExpected : kNotAsExpected;
}

const Registered<Subcommand> kConformance{
    "conformance",
    {"whether a matrix unit gives the bits of captured vectors: exit code 0 yes, 1 no, 2 error",
     [](Options& options) {
       const auto& unit =
           options.text("--unit", "", "the unit to judge (default: the chip that each file names)");
       const auto& paths = options.arguments("files", "vector files");
       return [&] { return conformance_command(unit, paths); };
     }}};

}  // namespace
}  // namespace faultline::harness
