#include "engine/base/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/memory.h"

namespace faultline {
namespace {

[[noreturn]] void fail(const std::string& path, const char* what) {
  throw Error(ErrorCode::kIo, path, std::string(what) + ": " + std::strerror(errno));
}

bool write_all(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(file, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return fsync(file) == 0;
}

}  // namespace

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  file.peek();  // A folder can be opened, but not read.
  if (!file.is_open() || file.bad()) fail(path, "cannot be read");
  std::string text;
  std::error_code unknown;  // of what is not a regular file
  if (const auto size = std::filesystem::file_size(path, unknown); !unknown) {
    text.reserve(size);
    prefer_huge_pages(text.data(), size);
  }
  std::vector<char> part(1 << 20);
  while (file.read(part.data(), static_cast<std::streamsize>(part.size())), file.gcount() > 0) {
    text.append(part.data(), static_cast<size_t>(file.gcount()));
  }
  if (file.bad()) fail(path, "cannot be read to its end");
  return text;
}

void write_file(const std::string& path, std::string_view text) {
  const std::string temporary = path + ".partial";
  const int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) fail(path, "cannot be written");
  const bool written = write_all(file, text);
  const int reason = errno;
  const bool closed = close(file) == 0;
  if (written && closed && rename(temporary.c_str(), path.c_str()) == 0) return;
  if (!written) errno = reason;
  const int final_reason = errno;
  unlink(temporary.c_str());
  errno = final_reason;
  fail(path, "cannot be written");
}

}  // namespace faultline
