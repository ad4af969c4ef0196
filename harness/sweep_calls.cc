#include "harness/sweep_calls.h"

#include <unistd.h>

#include <filesystem>

#include "engine/base/digest.h"
#include "engine/base/error.h"
#include "engine/base/file.h"
#include "harness/ledger.h"
#include "harness/perturbations/clock_shift.h"
#include "harness/run.h"

namespace faultline::harness {
namespace {

namespace fs = std::filesystem;

constexpr const char* kProgram = "/proc/self/exe";

void make_folder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw Error(ErrorCode::kIo, path, "cannot be made: " + error.message());
}

std::string ledger_path(const SweepFolder& folder, const PlannedRun& run) {
  return folder.of(run) + "/" + kLedgerFile;
}

// Digest of what the verdict was made from.
std::string verdict_key(const SweepFolder& folder, const Plan& plan, const PlannedCell& cell) {
  std::string text;
  for (const size_t i : {cell.baseline, cell.run}) {
    const Ledger ledger = Ledger::open(ledger_path(folder, plan.runs[i]));
    text += plan.runs[i].key + " ";
    if (ledger.size() > 0) text += ledger.step(ledger.size() - 1).root.hex() + " ";
  }
  return digest_text(text).hex();
}

std::string verdict_path(const SweepFolder& folder, const Plan& plan, const PlannedCell& cell) {
  return folder.of(plan.runs[cell.run]) + "/" + kVerdictFile;
}

}  // namespace

ProcessCall run_call(const SweepFolder& folder, const PlannedRun& run) {
  const std::string own = folder.of(run);
  make_folder(own);
  write_file(own + "/" + kRecipeFile, run.launch.recipe.json().dump(1) + "\n");
  const Json labels = {{"recipe", run.recipe},
                       {"perturbation", run.perturbation},
                       {"seed", run.seed},
                       {"key", run.key},
                       {"environment", run.launch.environment},
                       {"clock_shift_s", run.launch.clock_shift_s}};
  ProcessCall call;
  call.arguments = {kProgram,   "run", "--recipe", own + "/" + kRecipeFile,
                    "--folder", own,   "--labels", labels.dump()};
  call.environment = run.launch.environment;
  call.environment["FAULTLINE_PARENT"] = std::to_string(getpid());
  call.working_folder = run.launch.working_folder.empty() ? own : run.launch.working_folder;
  if (run.launch.clock_shift_s != 0) {
    const std::string path = own + "/" + kClockFile;
    write_file(path, clock_shift().front().second);
    call.environment["LD_PRELOAD"] = path;
    call.environment["FAULTLINE_CLOCK_SHIFT_S"] = std::to_string(run.launch.clock_shift_s);
  }
  return call;
}

ProcessCall comparison_call(const SweepFolder& folder, const Plan& plan, const PlannedCell& cell) {
  return {{kProgram, "diff", folder.of(plan.runs[cell.baseline]), folder.of(plan.runs[cell.run]), "--json"},
          {{"FAULTLINE_PARENT", std::to_string(getpid())}},
          ""};
}

std::optional<Verdict> kept_verdict(const SweepFolder& folder, const Plan& plan, const PlannedCell& cell) {
  const std::string path = verdict_path(folder, plan, cell);
  if (!fs::exists(path)) return std::nullopt;
  const Json kept = Json::parse(read_file(path), nullptr, false);
  if (kept.is_discarded() || kept.value("key", "") != verdict_key(folder, plan, cell)) return std::nullopt;
  return verdict_from_json(kept.at("verdict"));
}

void keep_verdict(const SweepFolder& folder, const Plan& plan, const PlannedCell& cell, const Json& verdict) {
  const Json kept = {{"key", verdict_key(folder, plan, cell)}, {"verdict", verdict}};
  write_file(verdict_path(folder, plan, cell), kept.dump(1) + "\n");
}

double recorded_step_time_us(const SweepFolder& folder, const PlannedRun& run) {
  const auto result = Ledger::open(ledger_path(folder, run)).result();
  return result ? result->step_time_us : 0;
}

}  // namespace faultline::harness
