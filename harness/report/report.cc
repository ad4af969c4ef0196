#include "harness/report/report.h"

namespace faultline::harness {

std::string report_html(const SweepResult& result) { return "<pre>" + matrix_text(result, false) + "</pre>"; }

}  // namespace faultline::harness
