#include "engine/mma/vector_file.h"

#include <map>
#include <optional>

#include "engine/base/error.h"
#include "engine/base/text.h"

namespace faultline {
namespace {

constexpr int64_t kLargestSize = 1 << 20;  // of m, n and k: libraries' products have long k

struct Word {
  std::string_view text;
  size_t column;  // from 1
};

// Walks the lines of a text and refuses with the place.
class Reader {
 public:
  Reader(const std::string& name, std::string_view text) : name_(name), rest_(text) {}

  // Goes to the next line; false if there is none.
  bool next_line() {
    ++line_;
    if (rest_.empty()) return false;
    const size_t end = rest_.find('\n');
    text_ = rest_.substr(0, end);
    rest_ = end == std::string_view::npos ? "" : rest_.substr(end + 1);
    if (text_.ends_with('\r')) text_.remove_suffix(1);
    return true;
  }

  std::vector<Word> words() const {
    std::vector<Word> words;
    for (size_t at = text_.find_first_not_of(' '); at != std::string_view::npos;) {
      const size_t end = std::min(text_.find(' ', at), text_.size());
      words.push_back({text_.substr(at, end - at), at + 1});
      at = text_.find_first_not_of(' ', end);
    }
    return words;
  }

  int64_t line() const { return line_; }
  size_t end_column() const { return text_.size() + 1; }

  [[noreturn]] void refuse(size_t column, const std::string& what) const {
    throw Error(ErrorCode::kData, name_,
                "line " + std::to_string(line_) + ", column " + std::to_string(column) + ": " + what);
  }

 private:
  const std::string& name_;
  std::string_view rest_, text_;
  int64_t line_ = 0;
};

std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

// The key=value words of the first line.
class Header {
 public:
  explicit Header(const Reader& reader) : reader_(reader) {
    const std::vector<Word> words = reader.words();
    if (words.empty() || words[0].text != "#") {
      reader.refuse(1,
                    "a vector file begins with '# chip=... in=... c=... d=... m=... n=... k=... tiles=...'");
    }
    for (size_t i = 1; i < words.size(); ++i) {
      const size_t equals = words[i].text.find('=');
      if (equals == std::string_view::npos)
        reader.refuse(words[i].column, quoted(words[i].text) + " is not key=value");
      values_[words[i].text.substr(0, equals)] = {words[i].text.substr(equals + 1),
                                                  words[i].column + equals + 1};
    }
  }

  // Each word is taken once; what is left are notes.
  std::string take(std::string_view key) {
    const auto found = values_.find(key);
    if (found == values_.end()) return "";
    const std::string value(found->second.text);
    values_.erase(found);
    return value;
  }

  Dtype dtype(std::string_view key) {
    const size_t column = need(key).column;
    try {
      return dtype_from_name(take(key));
    } catch (const Error& error) {
      reader_.refuse(column, error.what());
    }
  }

  int64_t number(std::string_view key, int64_t largest) {
    const Word word = need(key);
    const std::optional<int64_t> value = parse_number<int64_t>(word.text);
    if (!value || *value < 1 || *value > largest) {
      reader_.refuse(word.column,
                     quoted(word.text) + " is not a whole number from 1 to " + std::to_string(largest));
    }
    take(key);
    return *value;
  }

  std::string notes() const {
    std::string notes;
    for (const auto& [key, word] : values_) {
      notes += (notes.empty() ? "" : " ") + std::string(key) + "=" + std::string(word.text);
    }
    return notes;
  }

 private:
  const Word& need(std::string_view key) const {
    const auto found = values_.find(key);
    if (found == values_.end())
      reader_.refuse(reader_.end_column(), "the header lacks " + quoted(std::string(key) + "="));
    return found->second;
  }

  const Reader& reader_;
  std::map<std::string_view, Word> values_;
};

uint32_t digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 16;
}

std::vector<uint32_t> patterns(const Reader& reader, const Word& word, const char* matrix, Dtype dtype,
                               int64_t count) {
  const size_t width = 2 * size_bytes(dtype);
  for (size_t i = 0; i < word.text.size(); ++i) {
    if (digit(word.text[i]) > 15)
      reader.refuse(word.column + i, quoted(word.text.substr(i, 1)) + " is not a hex digit");
  }
  if (word.text.size() != width * count) {
    reader.refuse(word.column, std::string(matrix) + " has " + std::to_string(word.text.size()) +
                                   " digits, but " + std::to_string(count) + " patterns of " + name(dtype) +
                                   " have " + std::to_string(width * count));
  }
  std::vector<uint32_t> values(count);
  for (size_t i = 0; i < word.text.size(); ++i)
    values[i / width] = values[i / width] << 4 | digit(word.text[i]);
  return values;
}

VectorTile parse_tile(const Reader& reader, const VectorFile& file) {
  const std::vector<Word> words = reader.words();
  if (words.size() < 5) {
    reader.refuse(reader.end_column(), "the line ends after " + std::to_string(words.size()) +
                                           " words; a tile is category, A, B, C and D");
  }
  if (words.size() > 6) reader.refuse(words[6].column, "a tile has six words at most");
  return {std::string(words[0].text),
          patterns(reader, words[1], "A", file.input, file.m * file.k),
          patterns(reader, words[2], "B", file.input, file.k * file.n),
          patterns(reader, words[3], "C", file.c, file.m * file.n),
          patterns(reader, words[4], "D", file.d, file.m * file.n),
          reader.line()};
}

void append(std::string& text, const std::vector<uint32_t>& patterns, Dtype dtype) {
  text += ' ';
  for (const uint32_t pattern : patterns) {
    for (int shift = 8 * size_bytes(dtype) - 4; shift >= 0; shift -= 4)
      text += "0123456789abcdef"[pattern >> shift & 15];
  }
}

}  // namespace

VectorFile parse_vector_file(const std::string& name, std::string_view text) {
  Reader reader(name, text);
  if (!reader.next_line()) reader.refuse(1, "the file is empty");
  Header header(reader);
  VectorFile file{header.take("chip"),
                  "",
                  header.dtype("in"),
                  header.dtype("c"),
                  header.dtype("d"),
                  header.number("m", kLargestSize),
                  header.number("n", kLargestSize),
                  header.number("k", kLargestSize)};
  const int64_t tiles = header.number("tiles", INT32_MAX);
  file.notes = header.notes();
  while (reader.next_line()) {
    if (static_cast<int64_t>(file.tiles.size()) == tiles) {
      reader.refuse(1, "the header says tiles=" + std::to_string(tiles) + ", here is one more");
    }
    file.tiles.push_back(parse_tile(reader, file));
  }
  if (static_cast<int64_t>(file.tiles.size()) < tiles) {
    reader.refuse(1, "the file ends after " + std::to_string(file.tiles.size()) +
                         " tiles, the header says tiles=" + std::to_string(tiles));
  }
  return file;
}

std::string vector_file_text(const VectorFile& file) {
  std::string text = "#";
  const auto add = [&text](const std::string& key, const std::string& value) {
    text += " " + key + "=" + value;
  };
  if (!file.notes.empty()) text += " " + file.notes;
  if (!file.chip.empty()) add("chip", file.chip);
  add("in", name(file.input));
  add("c", name(file.c));
  add("d", name(file.d));
  add("m", std::to_string(file.m));
  add("n", std::to_string(file.n));
  add("k", std::to_string(file.k));
  add("tiles", std::to_string(file.tiles.size()));
  text += '\n';
  for (const VectorTile& tile : file.tiles) {
    text += tile.category;
    append(text, tile.a, file.input);
    append(text, tile.b, file.input);
    append(text, tile.c, file.c);
    append(text, tile.d, file.d);
    text += '\n';
  }
  return text;
}

}  // namespace faultline
