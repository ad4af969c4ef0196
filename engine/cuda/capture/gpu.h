#pragma once

#include "engine/cuda/capture/capture.h"

namespace faultline {

// Returns the first GPU. Throws kUnsupported with the runtime's reason if none can be used; run() likewise.
CaptureDevice open_gpu();

}  // namespace faultline
