#include "engine/base/text.h"

#include <catch2/catch.hpp>

using namespace faultline;

TEST_CASE("nearest: a slip of the pen finds the word") {
  const std::vector<std::string> known = {"dropout", "gelu", "matmul", "relu", "softmax"};
  CHECK(nearest("matmull", known) == "matmul");
  CHECK(nearest("mtamul", known) == "matmul");
  CHECK(nearest("softmx", known) == "softmax");
  CHECK(nearest("relu", known) == "relu");
  CHECK(nearest("gleu", known) == "gelu");
}

TEST_CASE("nearest: a word far from all finds none") {
  CHECK(nearest("convolution", {"dropout", "gelu", "matmul"}) == "");
  CHECK(nearest("anything", {}) == "");
}

TEST_CASE("nearest: of equally near candidates the first is taken") {
  CHECK(nearest("adamx", {"adamw", "adamy"}) == "adamw");
}

TEST_CASE("join: separators stand between words, empty ones included") {
  CHECK(join({}, ", ") == "");
  CHECK(join({"a"}, ", ") == "a");
  CHECK(join({"a", "b", "c"}, ", ") == "a, b, c");
  CHECK(join({"", "b", ""}, ",") == ",b,");
}

TEST_CASE("parse_number: a text is a number as a whole, or none") {
  CHECK(parse_number<int64_t>("-12") == -12);
  CHECK(parse_number<double>("0.1") == 0.1);
  CHECK(parse_number<float>("1e-45") == 0x1p-149f);
  for (const char* text : {"", " 1", "1 ", "1x", "1,5", "+1", "one"}) {
    CAPTURE(text);
    CHECK(parse_number<double>(text) == std::nullopt);
    CHECK(parse_number<int64_t>(text) == std::nullopt);
  }
  CHECK(parse_number<int64_t>("1.5") == std::nullopt);
  CHECK(parse_number<int64_t>("9223372036854775808") == std::nullopt);
  CHECK(parse_number<float>("1e39") == std::nullopt);
}
