#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace faultline::bench {

// The page over the results of several benchmark programs, each as Suite writes it: one self-contained HTML file in
// the look of the sweep's report. `command` repeats the run.
std::string bench_html(const nlohmann::json& results, const std::string& command);

// What the results say in a few sentences, most of all against others.
std::string bench_answer(const nlohmann::json& results);

}  // namespace faultline::bench
