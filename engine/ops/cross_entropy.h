#pragma once

#include "engine/autograd/variable.h"

namespace faultline {

// Returns the mean over the batch of -log_softmax(logits)[label]. dlogits = (p - onehot) * (dL / N).
// Shapes:      logits [N, C], labels [N] -> [].
// Formats:     logits f32, f16, bf16, labels i32 -> f32 (f64 from f64 logits); numeric class f32.
// Accumulates: f32; S over 64 lanes, the loss by the leaf rule (numerics.md 2.3), divided once by N.
// Error:       |got - exact| <= the mean of log_softmax's, and gamma of the sum's roundings.
// Bitwise:     runs yes, threads yes, instruction sets yes.
// Throws:      kShape, kDtype; kArgument with its index if a label is not in 0 .. C-1.
Variable cross_entropy(const Variable& logits, const Variable& labels);

}  // namespace faultline
