#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace faultline {

// What kind of mistake an Error reports; the harness decides by it, people read the text.
enum class ErrorCode {
  kShape,        // sizes do not fit
  kDtype,        // a format that the op or unit does not take
  kArgument,     // a value out of its range, an unknown key
  kNotFound,     // an unknown name in a registry, a missing file
  kData,         // a file that is not what it should be
  kIo,           // the system refused to read or write
  kUnsupported,  // exists in principle, not on this machine or in this build
  kMismatch,     // two things that must belong together do not
  kInternal,     // a mistake of ours
};

// The one exception that the libraries throw.
class Error : public std::exception {
 public:
  // `where` is the op or the part that refuses; the text reads "where: message".
  Error(ErrorCode code, std::string_view where, std::string_view message)
      : code_(code), where_(where), text_(where_ + ": " + std::string(message)) {}

  ErrorCode code() const { return code_; }
  const std::string& where() const { return where_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  ErrorCode code_;
  std::string where_;
  std::string text_;
};

}  // namespace faultline
