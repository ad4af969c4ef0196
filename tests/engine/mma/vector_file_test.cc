#include "engine/mma/vector_file.h"

#include <catch2/catch.hpp>

#include "engine/base/error.h"

namespace faultline {
namespace {

const char* const kText =
    "# source=capture chip=h100 in=f16 c=f32 d=f32 m=2 n=1 k=3 tiles=2\n"
    "normal 3c0000000001400040004000 3c003c003c00 3f80000000000000 4000000040c00000\n"
    "wide 3c0000000001400040004000 3c003c003c00 3f80000000000000 4000000040c00000 ignored\n";

std::string refusal(const std::string& text) {
  try {
    parse_vector_file("f.txt", text);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kData);
    return error.what();
  }
  return "";
}

std::string changed(std::string text, const std::string& from, const std::string& to) {
  REQUIRE(text.find(from) != std::string::npos);
  return text.replace(text.find(from), from.size(), to);
}

std::string refusal(const std::string& from, const std::string& to) {
  return refusal(changed(kText, from, to));
}

TEST_CASE("vector file: rows of A, columns of B, rows of C and D, as bit patterns") {
  const VectorFile file = parse_vector_file("f.txt", kText);
  CHECK(file.chip == "h100");
  CHECK(file.notes == "source=capture");
  CHECK(file.input == Dtype::kF16);
  CHECK(file.d == Dtype::kF32);
  CHECK((file.m == 2 && file.n == 1 && file.k == 3));
  REQUIRE(file.tiles.size() == 2);
  CHECK(file.tiles[0].category == "normal");
  CHECK(file.tiles[0].a == std::vector<uint32_t>{0x3c00, 0, 1, 0x4000, 0x4000, 0x4000});
  CHECK(file.tiles[0].c == std::vector<uint32_t>{0x3f800000, 0});
  CHECK(file.tiles[1].d == std::vector<uint32_t>{0x40000000, 0x40c00000});
  CHECK(file.tiles[1].line == 3);
}

TEST_CASE("vector file: writing gives back what was read, without the words to ignore") {
  const std::string text = vector_file_text(parse_vector_file("f.txt", kText));
  CHECK(text == changed(kText, " ignored", ""));
  CHECK(vector_file_text(parse_vector_file("g.txt", text)) == text);
  CHECK(parse_vector_file("f.txt", changed(changed(kText, "tiles=2\n", "tiles=2\r\n"), " chip=h100", ""))
            .chip == "");
}

TEST_CASE("vector file: every damage is one line with line and column") {
  CHECK(refusal("") == "f.txt: line 1, column 1: the file is empty");
  CHECK_THAT(refusal("normal 00"),
             Catch::StartsWith("f.txt: line 1, column 1: a vector file begins with '# chip="));
  CHECK(refusal(" k=3", "") == "f.txt: line 1, column 62: the header lacks 'k='");
  CHECK(refusal(" k=3", " k") == "f.txt: line 1, column 55: 'k' is not key=value");
  CHECK(refusal(" k=3", " k=0") == "f.txt: line 1, column 57: '0' is not a whole number from 1 to 1048576");
  CHECK(refusal(" k=3", " k=3x") == "f.txt: line 1, column 57: '3x' is not a whole number from 1 to 1048576");
  CHECK_THAT(refusal(" k=3", " k=1048577"), Catch::Contains("'1048577' is not a whole number"));
  CHECK(refusal(" m=2", " m=1048576") ==
        "f.txt: line 2, column 8: A has 24 digits, but 3145728 patterns of f16 have 12582912");
  CHECK_THAT(refusal("in=f16", "in=f17"),
             Catch::StartsWith("f.txt: line 1, column 31: ") && Catch::Contains("f17"));
  CHECK(refusal("0001", "00g1") == "f.txt: line 2, column 18: 'g' is not a hex digit");
  CHECK(refusal("normal 3c", "normal 3") ==
        "f.txt: line 2, column 8: A has 23 digits, but 6 patterns of f16 have 24");
  CHECK(refusal("3c003c003c00", "3c003c003c0000") ==
        "f.txt: line 2, column 33: B has 14 digits, but 3 patterns of f16 have 12");
  CHECK(refusal(" 4000000040c00000\nwide", "\nwide") ==
        "f.txt: line 2, column 62: the line ends after 4 words; a tile is category, A, B, C and D");
  CHECK(refusal("ignored", "ignored more") == "f.txt: line 3, column 86: a tile has six words at most");
  CHECK(refusal("tiles=2", "tiles=3") ==
        "f.txt: line 4, column 1: the file ends after 2 tiles, the header says tiles=3");
  CHECK(refusal("tiles=2", "tiles=1") ==
        "f.txt: line 3, column 1: the header says tiles=1, here is one more");
}

}  // namespace
}  // namespace faultline
