#include <catch2/catch.hpp>
#include <cmath>

#include "tests/contract/contract.h"

namespace faultline {
namespace {

// The largest share of its bound that an error takes, over one call; more than 1 is a failure.
double worst_share(const ContractCall& contract) {
  const Tensor got = contract.op.forward(contract.call)[0];
  const Tensor exact = contract.op.forward_reference(in_f64(contract.call))[0];
  const Tensor bound = contract.op.error_bound(contract.call);
  REQUIRE(bound.shape() == got.shape());
  double worst = 0;
  for (int64_t i = 0; i < got.size(); ++i) {
    const double error = std::fabs(got.at(i) - exact.at(i));
    if (error == 0) continue;
    worst = std::max(worst, error / bound.at(i));
    if (error <= bound.at(i)) continue;
    FAIL_CHECK(contract.describe() << ", element " << i << ": " << got.at(i) << " is off " << exact.at(i)
                                   << " by " << error << ", bound " << bound.at(i) << reproduce(contract));
    break;
  }
  return worst;
}

double largest(const Tensor& tensor) {
  double largest = 0;
  for (int64_t i = 0; i < tensor.size(); ++i) largest = std::max(largest, std::fabs(tensor.at(i)));
  return largest;
}

}  // namespace

TEST_CASE("contract: every result is within its error bound, and the bound says something") {
  for (const auto& [name, op] : Registry<OpDef>::instance().entries()) {
    DYNAMIC_SECTION(name) {
      double worst = 0, largest_bound = 0;
      for_each_call(op, Fill::kReals, [&](const ContractCall& contract) {
        worst = std::max(worst, worst_share(contract));
        largest_bound = std::max(largest_bound, largest(op.error_bound(contract.call)));
      });
      INFO("largest share of the bound: " << worst);
      CHECK((largest_bound == 0 || worst > 0.001));
    }
  }
}

TEST_CASE("contract: small integers are within the bound too") {
  for (const auto& [name, op] : Registry<OpDef>::instance().entries()) {
    DYNAMIC_SECTION(name) {
      for_each_call(op, Fill::kIntegers, [](const ContractCall& contract) { worst_share(contract); });
    }
  }
}

}  // namespace faultline
