#include "engine/tensor/digest.h"

#include <algorithm>
#include <array>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/parallel.h"
#include "engine/tensor/block_digest.h"

namespace faultline {
namespace {

constexpr int64_t kBytesPerThread = kBlockBytes;  // worth waking one

Digest digest_header(const Tensor& tensor) {
  std::array<int64_t, 16> header = {static_cast<int64_t>(tensor.dtype()), tensor.rank()};
  const auto size = static_cast<size_t>(2 + tensor.rank());
  if (size > header.size()) {
    throw Error(ErrorCode::kShape, "digest", tensor.describe() + " has more axes than a digest has room for");
  }
  std::copy(tensor.shape().begin(), tensor.shape().end(), header.begin() + 2);
  return digest_bytes(header.data(), size * sizeof(int64_t));
}

}  // namespace

void DigestBlocks::begin(TensorList tensors, bool keeps) {
  elements_.clear();
  blocks_.clear();
  parts_.clear();
  ends_.clear();
  size_bytes_ = 0;
  shares_ = 1;
  for (const Tensor* tensor : tensors) {
    Tensor copy;
    if (!tensor->is_contiguous()) tensor = &(copy = tensor->contiguous());
    if (keeps || copy.defined()) elements_.push_back(tensor->storage());
    parts_.push_back(digest_header(*tensor));
    const auto* const bytes = static_cast<const std::byte*>(tensor->raw());
    const int64_t size_bytes = tensor->size_bytes();
    size_bytes_ += size_bytes;
    shares_ = std::max(shares_, size_bytes / kBytesPerThread);
    for (int64_t begin = 0; begin < size_bytes; begin += kBlockBytes) {
      blocks_.push_back(
          {tensor->dtype(), bytes + begin, std::min(kBlockBytes, size_bytes - begin), parts_.size()});
      parts_.emplace_back();
    }
    ends_.push_back(parts_.size());
  }
}

void DigestBlocks::digest_block(int64_t i) {
  const Block& block = blocks_[i];
  parts_[block.part] = block_digest(block.dtype, block.bytes, block.size_bytes);
}

// A large tensor is shared as parallel_for shares it among the threads that write it: what another core has in its
// caches takes twice as long to read as what is in one's own.
void DigestBlocks::digest_all() {
  parallel_for("digest", count(), count() / shares_, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) digest_block(i);
  });
}

void DigestBlocks::end() {
  elements_.clear();
  digests_.clear();
  size_t begin = 0;
  for (const size_t end : ends_) {
    digests_.push_back(digest_chain(&parts_[begin], end - begin));
    begin = end;
  }
}

const std::vector<Digest>& DigestBlocks::digest_now(TensorList tensors) {
  begin(tensors, false);
  digest_all();
  end();
  return digests_;
}

// On one thread each tensor in turn: the lists of DigestBlocks would be read from far caches, step after step.
Digest digest(const Tensor& tensor) {
  if (threads() > 1 && tensor.size_bytes() > kBytesPerThread) {
    thread_local DigestBlocks blocks;  // keeps its memory
    return blocks.digest_now(std::array{&tensor})[0];
  }
  if (!tensor.is_contiguous()) return digest(tensor.contiguous());
  const auto* const bytes = static_cast<const std::byte*>(tensor.raw());
  const int64_t size_bytes = tensor.size_bytes();
  thread_local std::vector<Digest> parts;
  parts.assign(1, digest_header(tensor));
  for (int64_t begin = 0; begin < size_bytes; begin += kBlockBytes) {
    parts.push_back(block_digest(tensor.dtype(), bytes + begin, std::min(kBlockBytes, size_bytes - begin)));
  }
  return digest_chain(parts.data(), parts.size());
}

void ResultDigest::begin(const Tensor& result) {
  storage_ = result.storage();
  data_ = result.raw();
  dtype_ = result.dtype();
  size_bytes_ = result.size_bytes();
  count_ = (size_bytes_ + kBlockBytes - 1) / kBlockBytes;
  while (static_cast<int64_t>(blocks_.size()) < count_) blocks_.emplace_back();
  for (int64_t i = 0; i < count_; ++i) blocks_[i].begin(dtype_, block_bytes(i));
}

bool ResultDigest::is_of(const Tensor& tensor) const {
  if (tensor.raw() != data_ || tensor.dtype() != dtype_ || tensor.size_bytes() != size_bytes_) return false;
  const std::shared_ptr<const std::byte> storage = tensor.storage();
  return tensor.is_contiguous() && !storage.owner_before(storage_) && !storage_.owner_before(storage);
}

void ResultDigest::written(int64_t begin, int64_t end, const void* elements) {
  const auto* const bytes = static_cast<const std::byte*>(elements);
  const int64_t first = begin * faultline::size_bytes(dtype_), last = end * faultline::size_bytes(dtype_);
  for (int64_t at = first; at < last;) {
    const int64_t block = at / kBlockBytes, start = block * kBlockBytes,
                  next = std::min(start + kBlockBytes, last);
    blocks_[block].add(at - start, next - start, bytes + (at - first));
    at = next;
  }
}

Digest ResultDigest::end(const Tensor& result) {
  parts_.assign(1, digest_header(result));
  missing_.clear();
  for (int64_t i = 0; i < count_; ++i) {
    const std::optional<Digest> digest = blocks_[i].end();
    if (!digest) missing_.push_back(i);
    parts_.push_back(digest.value_or(Digest()));
  }
  const auto* const bytes = static_cast<const std::byte*>(result.raw());
  parallel_for("digest", static_cast<int64_t>(missing_.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t block = missing_[i];
      parts_[1 + block] = block_digest(dtype_, bytes + block * kBlockBytes, block_bytes(block));
    }
  });
  return digest_chain(parts_.data(), parts_.size());
}

}  // namespace faultline
