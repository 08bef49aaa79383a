#include "base/width.h"

#include <cstddef>
#include <utility>

#include "catch.h"

namespace kvcast {

TEST_CASE("columns of a terminal: two of what is wide, none of what combines", "[base]") {
  const std::pair<const char*, std::size_t> cases[] = {
      {"", 0},
      {"log.csv", 7},
      {"naïve", 5},
      {"nai\u0308ve", 5},         // a combining diaeresis
      {"日志", 4},                // Chinese
      {"ログ", 4},                // katakana
      {"\uFF9B\uFF78\uFF9E", 3},  // halfwidth katakana
      {"로그", 4},                // Hangul syllables
      {"\u1105\u1169", 2},        // the first of them from its parts
      {"ＡＢ", 4},                // fullwidth Latin
      {"，。", 4},
      {"жур", 3},
      {"日志", 4},
      {"\U0001F4C8", 2},                            // an emoji
      {"\U00020000", 2},                            // beyond the first plane
      {"e\u0301\u0302", 1},                         // two marks
      {"a\u200Db\u200B", 2},                        // joiner and space of no width
      {"\u0939\u093F\u0928\u094D\u0926\u0940", 5},  // Devanagari: the virama adds nothing, other vowel signs do
      {"\xFF\xC3", 2},                              // no UTF-8: as U+FFFD each
      {"\x01\x1B", 0},
  };
  for (const auto& [text, columns] : cases) {
    CAPTURE(text);
    CHECK(columns_of(text) == columns);
  }
}

TEST_CASE("the first columns: whole characters with their marks", "[base]") {
  CHECK(first_columns("日志文件", 4) == "日志");
  CHECK(first_columns("日志文件", 5) == "日志");
  CHECK(first_columns("日志文件", 1) == "");
  CHECK(first_columns("a日b", 2) == "a");
  CHECK(first_columns("e\u0301f", 1) == "e\u0301");
  CHECK(first_columns("log", 9) == "log");
  CHECK(first_columns("log", 0) == "");
}

}  // namespace kvcast
