#include "tests/contract/contract.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>

#include "engine/base/cpu.h"
#include "engine/base/error.h"
#include "engine/base/parallel.h"
#include "engine/ops/samples.h"

namespace faultline {
namespace {

constexpr int kGradientSalt = 1000;

Tensors cast_floats(const Tensors& inputs, Dtype dtype, bool first_only) {
  Tensors cast = inputs;
  for (size_t i = 0; i < cast.size() && (i == 0 || !first_only); ++i) {
    if (cast[i].defined() && is_float(cast[i].dtype())) cast[i] = cast[i].to(dtype);
  }
  return cast;
}

bool accepts(const OpDef& op, const OpCall& call) {
  try {
    op.check(call);
    return true;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kDtype) throw;
    return false;
  }
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return std::memcmp(a.contiguous().raw(), b.contiguous().raw(), static_cast<size_t>(a.size_bytes())) == 0;
}

}  // namespace

std::string ContractCall::describe() const {
  return fmt::format("{}, sample '{}', {}", op.name, sample, format);
}

void for_each_call(const OpDef& op, Fill fill, const std::function<void(const ContractCall&)>& body) {
  for (const Sample& sample : op.samples(fill)) {
    for (const Dtype dtype : {Dtype::kF32, Dtype::kTf32, Dtype::kF16, Dtype::kBf16}) {
      const bool tf32 = dtype == Dtype::kTf32;
      if (tf32 && op.numeric_class != NumericClass::kProduct) continue;
      OpCall call{sample.inputs, sample.attributes, {}};
      call.arithmetic.tf32 = tf32;
      if (!tf32) {
        call.inputs = cast_floats(sample.inputs, dtype, false);
        if (!accepts(op, call)) call.inputs = cast_floats(sample.inputs, dtype, true);
      }
      body({op, sample.name, name(dtype), call});
    }
  }
}

OpCall in_f64(const OpCall& call) {
  return {cast_floats(call.inputs, Dtype::kF64, false), call.attributes, {}};
}

std::string reproduce(const ContractCall& call) {
  return "\nrun this op alone with --test_arg=-c --test_arg=" + call.op.name;
}

Tensor grad_output_for(const Tensor& output) {
  return sample_tensor(output.shape(), Fill::kReals, kGradientSalt).to(output.dtype());
}

std::vector<bool> all_wanted(const OpCall& call) {
  std::vector<bool> wanted;
  for (const Tensor& input : call.inputs) wanted.push_back(input.defined() && is_float(input.dtype()));
  return wanted;
}

std::optional<std::string> difference(const Tensors& got, const Tensors& expected) {
  if (got.size() != expected.size()) return fmt::format("{} tensors, not {}", got.size(), expected.size());
  for (size_t k = 0; k < got.size(); ++k) {
    if (got[k].describe() != expected[k].describe()) {
      return fmt::format("tensor {}: {}, not {}", k, got[k].describe(), expected[k].describe());
    }
    if (!got[k].defined() || same_bytes(got[k], expected[k])) continue;
    for (int64_t i = 0; i < got[k].size(); ++i) {
      const double a = got[k].at(i), b = expected[k].at(i);
      if (std::isnan(a) && std::isnan(b)) continue;
      if (a != b || std::signbit(a) != std::signbit(b)) {
        return fmt::format("tensor {}, element [{}]: {:a}, not {:a}", k, fmt::join(got[k].unravel(i), ", "),
                           a, b);
      }
    }
  }
  return {};
}

OpCall as_views(const OpCall& call) {
  OpCall views = call;
  for (Tensor& input : views.inputs) {
    if (!input.defined() || input.rank() < 2) continue;
    const int last = input.rank() - 1;
    input = input.transpose(0, last).clone().transpose(0, last);
  }
  return views;
}

OpCall with_special_values(const OpCall& call) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const double specials[] = {kInfinity, -kInfinity, std::nan(""), 0.0,   -0.0,
                             0x1p-149,  -0x1p-24,   0x1p-133,     65504, 0x1.fffffp3};
  OpCall special = call;
  for (Tensor& input : special.inputs) {
    if (!input.defined() || !is_float(input.dtype())) continue;
    input = input.clone();
    for (int64_t i = 0; i < input.size(); i += 7) input.set(i, specials[i / 7 % std::size(specials)]);
  }
  return special;
}

int64_t largest_input(const OpCall& call) {
  int64_t largest = 0;
  for (const Tensor& input : call.inputs) largest = std::max(largest, input.defined() ? input.size() : 0);
  return largest;
}

RestoreExecution::~RestoreExecution() {
  set_instruction_set("");
  set_threads(1);
}

}  // namespace faultline
