#pragma once

#include <map>
#include <string>
#include <vector>

#include "harness/compare.h"
#include "harness/recipe.h"

namespace faultline::harness {

// File names inside a sweep's folder.
inline constexpr const char* kSweepFile = "sweep.json";
inline constexpr const char* kMatrixFile = "matrix.csv";
inline constexpr const char* kReportFile = "report.html";

// One cell of the reproducibility matrix, for one seed.
struct Cell {
  std::string recipe, perturbation;  // perturbation: with its variant, as "unit:a100"
  int64_t seed = 1;
  std::string baseline_folder, run_folder;  // relative to the sweep's folder
  std::string failure;                      // why there is no verdict; "" if there is one
  Verdict verdict;
  double step_time_us = 0;  // of the perturbed run
};

// How much a cell hurts, least first: a colour and a mark everywhere.
enum class Standing : uint8_t {
  kBitwise,  // every bit equal
  kParts,    // bits part; the loss-scale schedules and the accuracy agree
  kBreaks,   // the loss scale, a skipped step or the accuracy parts too
  kFailed,   // no verdict
};
Standing standing(const Cell& cell);
bool parted(const Cell& cell);        // kParts or kBreaks
const char* mark(Standing standing);  // "✓", "~", "✗", "!"

// Accuracies agree within one percentage point: two standard errors of an accuracy of 0.8 on the 10,000 test
// examples are 0.8 points.
constexpr double kAccuracyTolerance = 0.01;

// Everything that the terminal, matrix.csv and the report are made from; kept as sweep.json in the folder.
struct SweepResult {
  std::vector<Recipe> recipes;
  std::vector<std::string> perturbations;  // the columns: without variants
  std::vector<int64_t> seeds;
  std::vector<Cell> cells;                     // finished ones, in the order of recipes, perturbations, seeds
  std::map<std::string, double> step_time_us;  // baseline, per recipe
  std::string command;                         // repeats the sweep
  std::string build;                           // build_id() of the program that made every run
  double seconds = 0;
  std::string folder;  // where it was read from or is written to; not kept in the file
};

Json to_json(const SweepResult& result);
SweepResult sweep_from_json(const Json& json);

// Reads sweep.json of a finished or interrupted sweep. Throws kNotFound, kData.
SweepResult read_sweep(const std::string& folder);

// True if the cell is of that perturbation, which is named with its variant or stands for all its variants.
bool is_under(const Cell& cell, const std::string& perturbation);

// The worst cell of a recipe under a perturbation (see is_under) over the seeds (the one that parts first
// among equals); null if none has finished.
const Cell* worst(const SweepResult& result, const std::string& recipe, const std::string& perturbation);

// "bitwise", "step 3, conv2/dw", "failed": what a cell of the matrix says.
std::string cell_text(const Cell& cell);

// "2 of 3 seeds", "4 of 4 units": how many cells of the recipe and column of `worst` part; "" if there is one
// only, or `worst` does not part.
std::string share_text(const SweepResult& result, const Cell& worst);

// The one sentence that answers the question, made from the data (report.md 1).
std::string answer(const SweepResult& result);
std::string matrix_text(const SweepResult& result, bool colour);  // for the terminal
std::string matrix_csv(const SweepResult& result);

}  // namespace faultline::harness
