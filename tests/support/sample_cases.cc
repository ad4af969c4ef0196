// Cases with every outcome, run by results_test.sh.
#include <catch2/catch.hpp>
#include <csignal>
#include <stdexcept>

#include "tests/support/skip.h"

TEST_CASE("passes") { CHECK(true); }

TEST_CASE("fails, with 'quotes', \"more\", a [tag] and a \\ in its name", "[bad]") {
  INFO("the reason");
  CHECK(1 + 1 == 3);
}

TEST_CASE("throws <this>", "[bad]") { throw std::runtime_error("a & b"); }

TEST_CASE("skips", "[skip]") { faultline::skip("no <GPU> here"); }

TEST_CASE("skips after a failure", "[bad]") {
  CHECK(false);
  faultline::skip("too late");
}

TEST_CASE("skips in one section", "[skip]") {
  SECTION("first") { faultline::skip("no AMX here"); }
  SECTION("second") { CHECK(true); }
}

TEST_CASE("crashes", "[.][crash]") { std::raise(SIGSEGV); }
