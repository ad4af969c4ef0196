#pragma once

#include <sqlite3.h>

#include <string>
#include <string_view>

namespace faultline::harness {

// Thin owners of SQLite's handles. Errors become Error(kIo) on writing and Error(kData) on reading, with the
// path.
class Database {
 public:
  enum class Mode { kCreate, kRead };
  Database(const std::string& path, Mode mode);
  ~Database();
  Database(const Database&) = delete;

  void execute(const char* sql);
  sqlite3* handle() const { return handle_; }
  const std::string& path() const { return path_; }
  [[noreturn]] void fail() const;

 private:
  std::string path_;
  Mode mode_;
  sqlite3* handle_ = nullptr;
};

// A prepared statement: bind(...) in order, then step() until it returns false.
class Statement {
 public:
  Statement(Database& database, const char* sql);
  ~Statement();
  Statement(const Statement&) = delete;

  Statement& bind(int64_t value);
  Statement& bind(double value);
  Statement& bind(std::string_view text);
  Statement& bind_blob(const void* data, size_t size_bytes);
  bool step();  // true: a row is there
  void run();   // step() to the end, then ready to be bound again

  int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  double real(int column) const { return sqlite3_column_double(statement_, column); }
  std::string text(int column) const;
  std::string_view blob(int column) const;

 private:
  void check(int status);

  Database& database_;
  sqlite3_stmt* statement_ = nullptr;
  int next_ = 1;
};

}  // namespace faultline::harness
