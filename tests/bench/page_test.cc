#include "bench/page.h"

#include <catch2/catch.hpp>

namespace faultline::bench {
namespace {

using Json = nlohmann::json;

Json figure(const char* name, double rate) { return {{"name", name}, {"rate", rate}, {"spread", 0.01}}; }

TEST_CASE("page: what was measured stands there, escaped; what failed is named") {
  const Json row = {{"name", "2x2 <nn>"},
                    {"threads", 1},
                    {"ratio", 0.5},
                    {"figures", {figure("ours", 10), figure("peer & co", 20)}}};
  const Json mean = {{"threads", 1}, {"against", "the fastest"}, {"mean", 0.5}, {"worst", 0.5}, {"rows", 1}};
  const Json cpu = {{"model", "a processor"}, {"instruction_set", "avx2"}};
  const Json gemm = {{"program", "gemm"},
                     {"meaning", "products"},
                     {"unit", "GFLOP/s"},
                     {"limit", "fma peak"},
                     {"repetitions", 11},
                     {"rows", {row}},
                     {"means", {mean}},
                     {"pairs", Json::array()},
                     {"notes", {"skipped: no <peer>"}},
                     {"libraries", {{"peer", "1.0"}}},
                     {"manifest", {{"cpu", cpu}, {"git", "unknown"}, {"build", {{"compiler", "12"}}}}}};
  const Json failed = {
      {"program", "train"}, {"meaning", "Not measured"}, {"failure", "train ended with status 2"}};
  const std::string page = bench_html({gemm, failed}, "bazel run //bench:report");
  CHECK_THAT(bench_answer({gemm, failed}), Catch::Contains("f32 products: 0.50 times on 1 thread"));
  CHECK_THAT(page, Catch::Contains("2x2 &lt;nn&gt;") && Catch::Contains("peer &amp; co") &&
                       Catch::Contains("20 ± 1.0 %") && Catch::Contains("skipped: no &lt;peer&gt;") &&
                       Catch::Contains("train ended with status 2") && Catch::Contains("a processor, avx2"));
  CHECK_THAT(page, !Catch::Contains("<nn>") && !Catch::Contains("http"));
}

}  // namespace
}  // namespace faultline::bench
