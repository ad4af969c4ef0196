#pragma once

#include <string>
#include <string_view>

namespace faultline {

// Returns the whole file. Throws kIo with the path and the system's reason.
std::string read_file(const std::string& path);

// Writes the file as a whole or not at all: a temporary file beside it is filled, synced and renamed.
// Throws kIo with the path and the system's reason; the old file, if any, is then still there.
void write_file(const std::string& path, std::string_view text);

}  // namespace faultline
