#include "engine/ops/dropout.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/dropout.cc"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/execution.h"
#include "engine/base/error.h"
#include "engine/kernels/elementwise-inl.h"
#include "engine/kernels/philox-inl.h"
#include "engine/numerics/philox.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/error_bound.h"
#include "engine/ops/samples.h"

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

template <class T>
void DropBlock(const T* x, const uint32_t* words, float p, float scale, int64_t n, T* y) {
  const hn::RebindToSigned<DF> di32;
  ForVectors(n, [=](auto vector, int64_t i) HWY_ATTR {
    const auto top = hn::BitCast(di32, hn::ShiftRight<8>(hn::LoadU(DU32(), words + i)));
    const VF uniform = hn::Mul(hn::ConvertTo(DF(), top), hn::Set(DF(), 0x1p-24f));
    const VF kept = hn::Mul(vector.load(x + i), hn::Set(DF(), scale));
    vector.store(hn::IfThenElseZero(hn::Ge(uniform, hn::Set(DF(), p)), kept), y + i);
  });
}

// y[i] = x[i] * scale where word i of the stream, read as a uniform number, is at least p; else +0.
void dropout_kernel(const Tensor& x, uint64_t seed, uint64_t stream, float p, float scale, Tensor& y,
                    ResultPieces* pieces) {
  VisitKernelFormat(x.dtype(), [&]<class T>() HWY_ATTR {
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    const auto write = [&](int64_t begin, int64_t end) HWY_ATTR {
      uint32_t words[2 * kPhiloxWords] = {};  // The second half is read by a last vector, and not used.
      for (int64_t i = begin; i < end;) {
        const int64_t block = i / kPhiloxWords * kPhiloxWords;
        PhiloxWords(seed, stream, static_cast<uint64_t>(block), words);
        const int64_t n = std::min(block + kPhiloxWords, end) - i;
        DropBlock(from + i, words + (i - block), p, scale, n, to + i);
        i += n;
      }
    };
    parallel_for("dropout", x.size(), kElementwiseGrain, [&](int64_t begin, int64_t end) {
      write_in_pieces(pieces, to, {1, sizeof(T)}, begin, end, write);
    });
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(dropout_kernel);

void check(const OpCall& call) {
  check_one_float_format("dropout", call.inputs);
  const double p = call.attributes.real("p");
  if (!(p >= 0 && p < 1)) {
    throw Error(ErrorCode::kArgument, "dropout", "p = " + std::to_string(p) + " is not in [0, 1)");
  }
}

template <class T>
T scale_of(const Attributes& attributes) {
  return static_cast<T>(1 / (1 - attributes.real("p")));
}

// The same for x and for dy.
Tensor dropped(const Tensor& input, const Attributes& attributes) {
  const Tensor x = input.contiguous();
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  HWY_DYNAMIC_DISPATCH(dropout_kernel)
  (x, static_cast<uint64_t>(attributes.integer("seed")), stream_id(attributes.text("stream")),
   static_cast<float>(attributes.real("p")), scale_of<float>(attributes), y, pieces_of(y));
  return y;
}

Tensor dropped_reference(const Tensor& x, const Attributes& attributes) {
  const float p = static_cast<float>(attributes.real("p"));
  const uint64_t seed = static_cast<uint64_t>(attributes.integer("seed"));
  const uint64_t stream = stream_id(attributes.text("stream"));
  return visit_compute(x.dtype(), [&]<class T>() {
    Tensor y = Tensor::empty(x.shape(), x.dtype());
    for (int64_t i = 0; i < x.size(); ++i) {
      const uint32_t drawn = Draws::at(seed, stream, static_cast<uint64_t>(i));
      const bool keep = static_cast<float>(drawn >> 8) * 0x1p-24f >= p;
      y.set(i, keep ? static_cast<T>(x.at(i)) * scale_of<T>(attributes) : T(0));
    }
    return y;
  });
}

Tensor error_bound(const OpCall& call) {
  Tensor bound = dropped_reference(call.inputs[0].to(Dtype::kF64), call.attributes);
  for (int64_t i = 0; i < bound.size(); ++i) {
    const double error = gamma_f32(2) * std::fabs(bound.at(i));
    bound.set(i, rounded_error(bound.at(i), error, call.inputs[0].dtype()));
  }
  return bound;
}

std::vector<Sample> samples(Fill fill) {
  const auto make = [&](const char* name, const Shape& shape, double p, const char* stream) {
    return Sample{
        name, {sample_tensor(shape, fill, 1)}, {{"p", p}, {"seed", int64_t{7}}, {"stream", stream}}};
  };
  return {make("p 0", {5}, 0, "dropout/a/0"), make("odd", {7, 9}, 0.3, "dropout/b/1"),
          make("large", {66001}, 0.5, "dropout/c/2")};
}

const RegisteredOp kDropout{
    "dropout",
    {.numeric_class = NumericClass::kAsIs,
     .input_names = {"x"},
     .check = check,
     .forward = [](const OpCall& call) -> Tensors { return {dropped(call.inputs[0], call.attributes)}; },
     .backward = [](const OpGradCall& grad) -> Tensors {
       return {dropped(grad.grad_output, grad.call.attributes)};
     },
     .forward_reference = [](const OpCall& call) -> Tensors {
       return {dropped_reference(call.inputs[0], call.attributes)};
     },
     .backward_reference = [](const OpGradCall& grad) -> Tensors {
       return {dropped_reference(grad.grad_output, grad.call.attributes)};
     },
     .error_bound = error_bound,
     .samples = samples}};

}  // namespace

Variable dropout(const Variable& x, double p, const std::string& layer) {
  const Execution& around = execution();
  if (!around.training) return x;
  const std::string stream = "dropout/" + layer + "/" + std::to_string(around.step);
  return apply(*kDropout, {x},
               {{"p", p}, {"seed", static_cast<int64_t>(around.seed)}, {"stream", stream}})[0];
}

}  // namespace faultline
#endif  // HWY_ONCE
