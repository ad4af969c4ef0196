#include "engine/base/error.h"

#include <catch2/catch.hpp>

using namespace faultline;

TEST_CASE("error: the text names the place, and code and place can be asked") {
  const Error error(ErrorCode::kShape, "matmul", "inner sizes differ: lhs [2, 3] f16, rhs [4, 5] f16");
  CHECK(std::string(error.what()) == "matmul: inner sizes differ: lhs [2, 3] f16, rhs [4, 5] f16");
  CHECK(error.code() == ErrorCode::kShape);
  CHECK(error.where() == "matmul");
}

TEST_CASE("error: it is caught as a std::exception and copied whole") {
  try {
    throw Error(ErrorCode::kIo, "file", "gone");
  } catch (const std::exception& error) {
    const Error copy = dynamic_cast<const Error&>(error);
    CHECK(std::string(copy.what()) == "file: gone");
  }
}
