#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/compare.h"
#include "harness/perturbation.h"

namespace faultline::harness {

// What a person asked for on the command line.
struct SweepOptions {
  std::vector<Recipe> recipes;
  std::vector<std::string> perturbations;
  std::vector<int64_t> seeds = {1};
  int jobs = 0;        // 0: as many as there are processors
  std::string folder;  // "faultline-out"
  bool fresh = false, dry_run = false;
  std::vector<std::pair<std::string, std::string>> only;  // recipe/perturbation, either may be "*"
  std::map<std::string, std::string> expect;              // perturbation -> "bitwise" | "parts"
};

// One cell of the reproducibility matrix, for one seed.
struct Cell {
  std::string recipe, perturbation;
  int64_t seed = 1;
  std::string baseline_folder, run_folder;  // relative to the sweep's folder
  Verdict verdict;
  double step_time_us = 0;  // of the perturbed run
};

// Everything that the terminal, matrix.csv and the report are made from; kept as sweep.json in the folder.
struct SweepResult {
  std::vector<Recipe> recipes;
  std::vector<std::string> perturbations;
  std::vector<int64_t> seeds;
  std::vector<Cell> cells;
  std::map<std::string, double> step_time_us;  // baseline, per recipe
  std::string command;                         // repeats the sweep
  double seconds = 0;
  std::string folder;
};

Json to_json(const SweepResult& result);
SweepResult sweep_from_json(const Json& json);

// Runs what is missing, compares, and writes sweep.json, matrix.csv and report.html. Returns the result.
SweepResult sweep(const SweepOptions& options);

// The one sentence that answers the question, made from the data (report.md 1).
std::string answer(const SweepResult& result);
std::string matrix_text(const SweepResult& result, bool colour);  // for the terminal
std::string matrix_csv(const SweepResult& result);

// Self-contained HTML (report.md). Reads the ledgers under result.folder.
std::string report_html(const SweepResult& result);

}  // namespace faultline::harness
