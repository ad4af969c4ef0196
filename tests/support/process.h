#pragma once

#include <map>
#include <string>
#include <vector>

#include "harness/processes.h"

namespace faultline {

// Runs a program to its end and returns how it ended.
inline harness::ProcessEnd run_process(const std::vector<std::string>& arguments,
                                       const std::map<std::string, std::string>& environment = {},
                                       const std::string& working_folder = "") {
  harness::Processes processes;
  processes.start(0, {arguments, environment, working_folder});
  while (true) {
    for (harness::ProcessEnd& end : processes.wait(1000)) return end;
  }
}

}  // namespace faultline
