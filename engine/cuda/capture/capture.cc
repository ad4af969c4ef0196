#include "engine/cuda/capture/capture.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <ostream>

#include "engine/base/error.h"
#include "engine/cuda/capture/tiles.h"

namespace faultline {
namespace {

constexpr int kFailure = 2;
constexpr int64_t kMostTiles = 1 << 20;

struct Given {
  std::string instruction;
  int64_t tiles = 900;
  uint64_t seed = 1;
  bool ties = false, list = false;
};

std::string listing() {
  std::string text;
  for (const auto& [name, row] : Registry<MatrixInstruction>::instance().entries()) {
    text += name + std::string(std::max<int>(1, 30 - static_cast<int>(name.size())), ' ') + "sm_" +
            std::to_string(row.first_architecture);
    if (row.last_architecture == kNewestArchitecture)
      text += " and newer";
    else if (row.last_architecture > row.first_architecture)
      text += " to sm_" + std::to_string(row.last_architecture);
    text += '\n';
  }
  return text;
}

// Words of the first line hold no spaces.
std::string one_word(std::string text) {
  std::replace(text.begin(), text.end(), ' ', '_');
  return text;
}

void write_capture(const Given& given, const CaptureDevice& device, std::ostream& out) {
  const MatrixInstruction& row = Registry<MatrixInstruction>::instance().find(given.instruction);
  if (device.architecture < row.first_architecture || device.architecture > row.last_architecture) {
    throw Error(ErrorCode::kUnsupported, given.instruction,
                device.name + " is sm_" + std::to_string(device.architecture) +
                    " and has no such instruction; --list says which have it");
  }
  const std::string seed = given.ties ? "" : " seed=" + std::to_string(given.seed);
  VectorFile file{chip_name(given.instruction, device.architecture),
                  "source=" + std::string(given.ties ? "ties" : "capture") + " gpu=" + one_word(device.name) +
                      " instruction=" + given.instruction + seed,
                  row.input,
                  row.accumulate,
                  row.accumulate,
                  row.m,
                  row.n,
                  row.k,
                  given.ties ? make_ties(row, given.tiles) : make_tiles(row, given.tiles, given.seed)};
  device.run(row, file.tiles);
  out << vector_file_text(file);
  if (!out.flush()) throw Error(ErrorCode::kIo, "capture", "standard output cannot be written");
}

void check(const Given& given) {
  if (given.instruction.empty())
    throw Error(ErrorCode::kArgument, "capture", "say --instruction NAME, or --list");
  if (given.tiles < 1 || given.tiles > kMostTiles) {
    throw Error(ErrorCode::kArgument, "--tiles", "must be from 1 to " + std::to_string(kMostTiles));
  }
  const MatrixInstruction& row = Registry<MatrixInstruction>::instance().find(given.instruction);
  if (given.ties && (row.input != Dtype::kF16 || row.accumulate != Dtype::kF16))
    throw Error(ErrorCode::kArgument, "--ties", "are made for f16 operands and accumulators alone");
}

}  // namespace

std::string chip_name(const std::string& instruction, int architecture) {
  struct Chip {
    int first, last;
    const char* unit;
    bool instructions_differ;  // mma.sync and wmma have units of their own
  };
  constexpr Chip kChips[] = {{75, 75, "t4", false},  {80, 87, "a100", false},  {89, 89, "l40s", false},
                             {90, 90, "h100", true}, {100, 103, "b200", true}, {120, 121, "b200", true}};
  for (const Chip& chip : kChips) {
    if (architecture < chip.first || architecture > chip.last) continue;
    const std::string family = instruction.substr(0, instruction.find('.'));
    return chip.unit + (chip.instructions_differ && family != "wgmma" ? ":" + family : "");
  }
  return "sm_" + std::to_string(architecture);
}

int capture_command(const std::vector<std::string>& arguments,
                    const std::function<CaptureDevice()>& open_device, std::ostream& out,
                    std::ostream& errors) {
  Given given;
  CLI::App app("runs one matrix instruction of the GPU on seeded tiles and writes a vector file", "capture");
  app.add_option("--instruction", given.instruction, "which one; --list shows them");
  app.add_option("--tiles", given.tiles, "how many, categories taking turns")->capture_default_str();
  app.add_option("--seed", given.seed, "of the tiles")->capture_default_str();
  app.add_flag("--ties", given.ties, "tiles that show FLOOR of f16 accumulators instead of seeded ones");
  app.add_flag("--list", given.list, "print the instructions and the architectures that have them");
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    if (given.list) {
      out << listing();
      return 0;
    }
    check(given);
    write_capture(given, open_device(), out);
    return 0;
  } catch (const CLI::CallForHelp&) {
    out << app.help();
    return 0;
  } catch (const std::exception& error) {
    errors << "capture: " << error.what() << std::endl;
    return kFailure;
  }
}

}  // namespace faultline
