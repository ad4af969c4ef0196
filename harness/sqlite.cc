#include "harness/sqlite.h"

#include "engine/base/error.h"

namespace faultline::harness {

Database::Database(const std::string& path, Mode mode) : path_(path), mode_(mode) {
  const int flags = mode == Mode::kCreate ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_EXCLUSIVE
                                          : SQLITE_OPEN_READONLY;
  if (sqlite3_open_v2(path.c_str(), &handle_, flags, nullptr) == SQLITE_OK) return;
  const std::string reason = handle_ ? sqlite3_errmsg(handle_) : "out of memory";
  sqlite3_close(handle_);
  throw Error(ErrorCode::kIo, path, "cannot be opened: " + reason);
}

// Waits for statements that are still there, where sqlite3_close would refuse and leave the file open.
Database::~Database() { sqlite3_close_v2(handle_); }

void Database::execute(const char* sql) {
  if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail();
}

void Database::fail() const {
  const std::string reason = sqlite3_errmsg(handle_);
  if (mode_ == Mode::kCreate) throw Error(ErrorCode::kIo, path_, "cannot be written: " + reason);
  throw Error(ErrorCode::kData, path_, "is not a ledger, or is damaged or cut short: " + reason);
}

Statement::Statement(Database& database, const char* sql) : database_(database) {
  check(sqlite3_prepare_v2(database.handle(), sql, -1, &statement_, nullptr));
}

Statement::~Statement() { sqlite3_finalize(statement_); }

void Statement::check(int status) {
  if (status != SQLITE_OK) database_.fail();
}

Statement& Statement::bind(int64_t value) {
  check(sqlite3_bind_int64(statement_, next_++, value));
  return *this;
}

Statement& Statement::bind(double value) {
  check(sqlite3_bind_double(statement_, next_++, value));
  return *this;
}

Statement& Statement::bind(std::string_view text) {
  check(sqlite3_bind_text(statement_, next_++, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT));
  return *this;
}

Statement& Statement::bind_blob(const void* data, size_t size_bytes) {
  check(sqlite3_bind_blob64(statement_, next_++, data, size_bytes, SQLITE_TRANSIENT));
  return *this;
}

bool Statement::step() {
  const int status = sqlite3_step(statement_);
  if (status == SQLITE_ROW) return true;
  if (status != SQLITE_DONE) database_.fail();
  return false;
}

void Statement::run() {
  while (step()) {
  }
  check(sqlite3_reset(statement_));
  next_ = 1;
}

std::string Statement::text(int column) const { return std::string(blob(column)); }

std::string_view Statement::blob(int column) const {
  const char* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  return data ? std::string_view(data, static_cast<size_t>(sqlite3_column_bytes(statement_, column)))
              : std::string_view();
}

}  // namespace faultline::harness
