#include "engine/autograd/attributes.h"

#include <catch2/catch.hpp>

#include "engine/base/error.h"

namespace faultline {

TEST_CASE("attributes: every kind of value comes back as it was set") {
  const Attributes attributes{
      {"axis", int64_t{-1}}, {"p", 0.5}, {"to", std::string("f16")}, {"axes", std::vector<int64_t>{0, 2}}};
  CHECK(attributes.integer("axis") == -1);
  CHECK(attributes.real("p") == 0.5);
  CHECK(attributes.text("to") == "f16");
  CHECK(attributes.integers("axes") == std::vector<int64_t>{0, 2});
  CHECK(attributes.describe() == "axes=[0,2] axis=-1 p=0.5 to=f16");
}

TEST_CASE("attributes: a missing key and another type are errors that name the key") {
  const Attributes attributes{{"axis", int64_t{1}}};
  CHECK_THROWS_WITH(attributes.integer("stride"), Catch::Contains("no 'stride'"));
  CHECK_THROWS_WITH(attributes.real("axis"), Catch::Contains("{axis=1}"));
}

}  // namespace faultline
