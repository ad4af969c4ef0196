#include "models/data/idx.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <memory>

#include "engine/base/error.h"

namespace faultline::models {
namespace {

constexpr int kUnsignedByte = 8;

class GzipFile {
 public:
  explicit GzipFile(const std::string& path) : path_(path), file_(gzopen(path.c_str(), "rb"), gzclose) {
    if (!file_) refuse("cannot be opened");
    gzbuffer(file_.get(), 1 << 18);
  }

  // Fills the buffer with as much as there is and returns how much that was.
  size_t read(uint8_t* buffer, size_t size) {
    size_t done = 0;
    while (done < size) {
      const unsigned part = static_cast<unsigned>(std::min<size_t>(size - done, 1 << 26));
      const int got = gzread(file_.get(), buffer + done, part);
      if (got < 0) refuse("is not a whole gzip file");
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

  [[noreturn]] void refuse(const std::string& why) const { throw Error(ErrorCode::kData, path_, why); }

 private:
  std::string path_;
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;
};

}  // namespace

IdxArray read_idx(const std::string& path, int rank) {
  constexpr int64_t kLargest = int64_t{1} << 28;
  GzipFile file(path);
  uint8_t magic[4];
  if (file.read(magic, 4) < 4) file.refuse("ends before the IDX header");
  if (magic[0] != 0 || magic[1] != 0 || magic[2] != kUnsignedByte || magic[3] != rank) {
    file.refuse(
        fmt::format("starts with {:02x}{:02x}{:02x}{:02x}, not with 000008{:02x} (IDX, bytes, {} sizes)",
                    magic[0], magic[1], magic[2], magic[3], rank, rank));
  }
  IdxArray array;
  for (int axis = 0; axis < rank; ++axis) {
    uint8_t size[4];
    if (file.read(size, 4) < 4) file.refuse("ends inside the IDX header");
    array.shape.push_back(int64_t{size[0]} << 24 | size[1] << 16 | size[2] << 8 | size[3]);
    if (element_count(array.shape) > kLargest) {
      file.refuse("has sizes " + to_string(array.shape) + ", too large");
    }
  }
  const size_t size = static_cast<size_t>(element_count(array.shape));
  array.bytes.resize(size);
  const size_t got = file.read(array.bytes.data(), size);
  uint8_t rest;
  if (got < size || file.read(&rest, 1) != 0) {
    file.refuse(fmt::format("holds {} {} bytes of data, its sizes {} ask for {}",
                            got < size ? "only" : "more than", got, to_string(array.shape), size));
  }
  return array;
}

}  // namespace faultline::models
