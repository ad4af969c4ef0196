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
