#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "engine/base/digest.h"
#include "engine/base/result_pieces.h"
#include "engine/tensor/block_digest.h"
#include "engine/tensor/tensor.h"

namespace faultline {

// Returns the digest of a tensor's canonical bytes (numerics.md 2.9): XXH3-128 over the XXH3-128 of a header
// (type, rank, sizes) and of each 64 KiB block of its elements in row-major order, little-endian, every NaN
// read as the canonical one. Equal for a view and its contiguous copy; +0 and -0 differ.
Digest digest(const Tensor& tensor);

using TensorList = std::span<const Tensor* const>;

// The digests of some tensors, block by block: in any order and on any threads. It can be used again and then takes no
// memory anew.
class DigestBlocks {
 public:
  // Starts anew. The elements must stay as they are until the end; they are kept until then if the caller does not.
  void begin(TensorList tensors, bool keeps = true);

  int64_t count() const { return static_cast<int64_t>(blocks_.size()); }
  int64_t size_bytes() const { return size_bytes_; }  // of all blocks
  void digest_block(int64_t i);
  void digest_all();  // on all threads

  void end();  // every block is digested
  // All of it at once: the digest of each tensor.
  const std::vector<Digest>& digest_now(TensorList tensors);
  const std::vector<Digest>& digests() const { return digests_; }  // after the end: of each tensor

 private:
  struct Block {
    Dtype dtype;
    const std::byte* bytes;
    int64_t size_bytes;
    size_t part;  // where its digest goes
  };

  std::vector<std::shared_ptr<const std::byte>> elements_;
  std::vector<Block> blocks_;
  std::vector<Digest> parts_;  // of each tensor its header and its blocks
  std::vector<size_t> ends_;   // of the parts of each tensor
  std::vector<Digest> digests_;
  int64_t size_bytes_ = 0;
  int64_t shares_ = 1;  // at most: of the blocks among threads
};

// The digest of a result, taken of its pieces as they are written. It can be used again and then takes no memory anew.
class ResultDigest : public ResultPieces {
 public:
  // Starts anew, before the elements are written. The result is contiguous.
  void begin(const Tensor& result);

  // Whether a tensor is the result that was begun: it, not another one in the same memory.
  bool is_of(const Tensor& tensor) const;

  void written(int64_t begin, int64_t end, const void* elements) override;

  // The digest of the result, now that it is written. What was not shown is read again, on all threads.
  Digest end(const Tensor& result);

 private:
  int64_t block_bytes(int64_t block) const {
    return std::min(kBlockBytes, size_bytes_ - block * kBlockBytes);
  }

  std::weak_ptr<const std::byte> storage_;
  const void* data_ = nullptr;
  Dtype dtype_ = Dtype::kF32;
  int64_t size_bytes_ = 0, count_ = 0;
  std::deque<BlockDigest> blocks_;  // the first count_ are in use
  std::vector<Digest> parts_;       // the header and the blocks
  std::vector<int64_t> missing_;    // blocks
};

}  // namespace faultline
