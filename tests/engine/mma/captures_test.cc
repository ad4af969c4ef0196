// Results captured on real GPUs (numerics.md 5), against the plain models.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <vector>

#include "engine/mma/unit.h"
#include "engine/numerics/ulp.h"
#include "tests/support/skip.h"

namespace faultline {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> captures() {
  const char* runfiles = std::getenv("TEST_SRCDIR");
  const fs::path folder = fs::path(runfiles ? runfiles : ".") / "shared/shared/mma_captures";
  std::vector<fs::path> files;
  if (!fs::exists(folder)) return files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  return files;
}

std::map<std::string, std::string> header(const std::string& line) {
  std::map<std::string, std::string> values;
  std::istringstream words(line);
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    if (equals != std::string::npos) values[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return values;
}

std::vector<float> values_of(const std::string& hex, Dtype format) {
  const size_t digits = 2 * size_bytes(format);
  std::vector<float> values;
  for (size_t i = 0; i < hex.size(); i += digits) {
    values.push_back(static_cast<float>(value_of(std::stoul(hex.substr(i, digits), nullptr, 16), format)));
  }
  return values;
}

TEST_CASE("tensor cores: every result captured on a GPU is the plain model's") {
  const std::vector<fs::path> files = captures();
  if (files.empty()) skip("../shared/mma_captures is not there: results captured on GPUs");
  int results = 0, different = 0;
  for (const fs::path& file : files) {
    std::ifstream in(file);
    std::string line;
    std::getline(in, line);
    std::map<std::string, std::string> words = header(line);
    const Unit& unit = Registry<Unit>::instance().find(words.at("chip"));
    const UnitFormat format{dtype_from_name(words.at("in")), dtype_from_name(words.at("c"))};
    INFO(file.filename());
    while (std::getline(in, line)) {
      std::istringstream tile(line);
      std::string category, a, b, c, d;
      tile >> category >> a >> b >> c >> d;
      const std::vector<float> left = values_of(a, format.input), right = values_of(b, format.input);
      REQUIRE(left.size() == right.size());
      const float start = values_of(c, format.accumulate)[0];
      const float got = unit.dot(format, left.data(), right.data(), static_cast<int64_t>(left.size()), start);
      ++results;
      different += bits_hex(bits_of(got, format.accumulate), format.accumulate) != d;
    }
  }
  CHECK(results == 12000);
  CHECK(different == 0);
}

}  // namespace
}  // namespace faultline
