#pragma once

#include <cstddef>
#include <memory>

namespace faultline {

// 64-byte aligned, uninitialised. Freed blocks are kept and handed out again for the same rounded size,
// because a training step asks for the same sizes again and again, and fresh pages cost more than the
// arithmetic.
std::shared_ptr<std::byte> allocate_storage(size_t size_bytes);

}  // namespace faultline
