#include "harness/report/report.h"

#include <iostream>

#include "engine/base/file.h"
#include "harness/cli/command_line.h"

namespace faultline::harness {
namespace {

int report_command(const std::string& folder) {
  const SweepResult result = read_sweep(folder);
  write_file(folder + "/" + kReportFile, report_html(result));
  std::cout << folder << "/" << kReportFile << "\n";
  return kAsExpected;
}

const Registered<Subcommand> kReport{"report", {"makes report.html of a sweep again", [](Options& options) {
                                                  const auto& folder = options.argument(
                                                      "folder", "faultline-out", "folder of the sweep");
                                                  return [&] { return report_command(folder); };
                                                }}};

}  // namespace
}  // namespace faultline::harness
