#include "engine/base/registry.h"

#include <catch2/catch.hpp>

#include "engine/base/error.h"

using namespace faultline;

namespace {

struct Flavour {
  static constexpr const char* kKind = "flavour";
  int sweetness = 0;
};

// Registered out of order, as a linker might.
const Registered<Flavour> kVanilla{"vanilla", {3}};
const Registered<Flavour> kLemon{"lemon", {1}};
const Registered<Flavour> kMint{"mint", {2}};

Error error_of(const std::string& name) {
  try {
    Registry<Flavour>::instance().find(name);
  } catch (const Error& error) {
    return error;
  }
  FAIL("found " << name);
  throw;
}

}  // namespace

TEST_CASE("registry: entries are found by name and listed in alphabetical order") {
  const Registry<Flavour>& flavours = Registry<Flavour>::instance();
  CHECK(flavours.names() == std::vector<std::string>{"lemon", "mint", "vanilla"});
  CHECK(flavours.find("mint").sweetness == 2);
  CHECK(flavours.contains("lemon"));
  CHECK_FALSE(flavours.contains("lime"));
}

TEST_CASE("registry: an unknown name is refused with the nearest and with all known ones") {
  const Error error = error_of("vanila");
  CHECK(error.code() == ErrorCode::kNotFound);
  CHECK(error.where() == "flavour");
  CHECK(std::string(error.what()) ==
        "flavour: unknown name 'vanila', did you mean 'vanilla'? (known: lemon, mint, vanilla)");
  CHECK(std::string(error_of("chocolate").what()) ==
        "flavour: unknown name 'chocolate' (known: lemon, mint, vanilla)");
}

TEST_CASE("registry: a name taken twice is refused and the first entry stays") {
  Registry<Flavour> flavours;
  flavours.add("lemon", {1});
  CHECK_THROWS_WITH(flavours.add("lemon", {9}), "flavour: registered twice: lemon");
  CHECK(flavours.find("lemon").sweetness == 1);
}
