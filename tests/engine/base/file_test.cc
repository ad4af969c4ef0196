#include "engine/base/file.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>

#include "engine/base/error.h"

namespace faultline {
namespace {

namespace fs = std::filesystem;

struct Folder {
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "file-test-XXXXXX").string();
    path = mkdtemp(pattern.data());
  }
  ~Folder() { fs::remove_all(path); }
  std::string file(const std::string& name) const { return (path / name).string(); }
  int64_t files() const { return std::distance(fs::directory_iterator(path), fs::directory_iterator()); }
  fs::path path;
};

void check_io_error(const std::string& path, const std::function<void()>& call) {
  try {
    call();
    FAIL("no error for " << path);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kIo);
    CHECK_THAT(error.what(), Catch::Contains(path));
  }
}

// Limits the size of the files that this process writes, as a full disk would.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_;
};

TEST_CASE("file: what is written is read again, any bytes, any length") {
  const Folder folder;
  for (const std::string& text :
       {std::string(), std::string("one\ntwo\0three", 13), std::string(1 << 20, 'x')}) {
    write_file(folder.file("text"), text);
    CHECK(read_file(folder.file("text")) == text);
  }
  CHECK(folder.files() == 1);
}

TEST_CASE("file: what cannot be read is an error that names the path") {
  const Folder folder;
  check_io_error(folder.file("absent"), [&] { read_file(folder.file("absent")); });
  check_io_error(folder.path.string(), [&] { read_file(folder.path.string()); });
}

TEST_CASE("file: what cannot be written leaves the old file and nothing beside it") {
  const Folder folder;
  const std::string path = folder.file("text");
  write_file(path, "old");
  {
    const FileSizeLimit limit(4096);
    check_io_error(path, [&] { write_file(path, std::string(1 << 16, 'x')); });
  }
  CHECK(read_file(path) == "old");
  CHECK(folder.files() == 1);
  check_io_error("absent/text", [&] { write_file(folder.file("absent/text"), "new"); });
  fs::create_directory(folder.file("taken"));
  check_io_error("taken", [&] { write_file(folder.file("taken"), "new"); });
  CHECK(folder.files() == 2);
}

}  // namespace
}  // namespace faultline
