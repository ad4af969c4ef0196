#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace faultline {

// 64-byte aligned, uninitialised. Freed blocks are kept and handed out again for the same rounded size,
// because a training step asks for the same sizes again and again, and fresh pages cost more than the
// arithmetic.
std::shared_ptr<std::byte> allocate_storage(size_t size_bytes);

// How many blocks came from the system since the start, and not from those that were freed.
int64_t storage_blocks_from_system();

}  // namespace faultline
