// The reader of CSV text (RFC 4180, and what spreadsheets write beyond it); why it is not a library's: ADR 0010.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"
#include "kvcast/error.h"
#include "report/csv.h"

namespace kvcast::report {
namespace {

// A row of ours has some 200 bytes and 30 cells, and a run two million rows at most.
constexpr std::size_t kMaxLineBytes = std::size_t{1} << 20, kMaxCells = 50'000'000;

class Parser {
 public:
  Parser(const std::string& text, const std::string& where) : text_(text), where_(where) {
    if (text_.starts_with("\xef\xbb\xbf")) text_.remove_prefix(3);
  }

  std::vector<CsvRow> rows() {
    std::vector<CsvRow> rows;
    std::size_t cells = 0;
    while (at_ < text_.size()) {
      CsvRow row{line_, {}};
      if (std::min(text_.find_first_of("\r\n", at_), text_.size()) - at_ > kMaxLineBytes) {
        throw ConfigError(where_ + ": line " + std::to_string(line_), "is longer than 1 MiB", "a row is short");
      }
      bool quoted = false;
      do {
        quoted = cell(row) || quoted;
      } while (take(','));
      end_line();
      if ((cells += row.cells.size()) > kMaxCells) {
        throw ConfigError(where_, "more than " + std::to_string(kMaxCells) + " cells", "a part of its rows");
      }
      const bool blank = row.cells.size() == 1 && row.cells[0].empty() && !quoted;
      if (!blank) rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  bool at(std::string_view any) const { return at_ < text_.size() && any.find(text_[at_]) != std::string_view::npos; }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void skip_blanks() {
    while (at(" \t")) ++at_;
  }

  [[noreturn]] void fail(const CsvRow& row, std::int64_t line, const std::string& problem) const {
    throw ConfigError(where_ + ": line " + std::to_string(line) + ", cell " + std::to_string(row.cells.size() + 1),
                      problem, "quotes stand around a whole cell, and twice for one inside it");
  }

  /// Reads one cell up to the comma or line end behind it. Whether it was quoted.
  bool cell(CsvRow& row) {
    skip_blanks();
    const std::int64_t line = line_;
    std::string value;
    const bool quoted = take('"');
    if (quoted) {
      for (;;) {
        if (at_ >= text_.size()) fail(row, line, "the quote is not closed");
        const char c = text_[at_++];
        if (c == '"' && !take('"')) break;
        if (c == '\n' || (c == '\r' && !at("\n"))) ++line_;
        value += c;
      }
      skip_blanks();
      if (at_ < text_.size() && !at(",\r\n")) fail(row, line_, "text behind a closing quote");
    } else {
      const std::size_t end = std::min(text_.find_first_of(",\r\n\"", at_), text_.size());
      if (end < text_.size() && text_[end] == '"')
        fail(row, line, "a quote inside a cell that does not begin with one");
      value = text_.substr(at_, end - at_);
      value.erase(value.find_last_not_of(" \t") + 1);
      at_ = end;
    }
    row.cells.push_back(std::move(value));
    return quoted;
  }

  void end_line() {
    take('\r');
    take('\n');
    ++line_;
  }

  std::string_view text_;
  const std::string& where_;
  std::size_t at_ = 0;
  std::int64_t line_ = 1;
};

}  // namespace

std::vector<CsvRow> parse_csv(const std::string& text, const std::string& where) {
  if (text.find('\0') != std::string::npos || !is_utf8(text)) {
    std::int64_t line = 1;
    std::string_view rest = text;
    for (std::size_t end = 0; (end = rest.find('\n')) != std::string_view::npos; ++line) {
      const std::string_view this_line = rest.substr(0, end);
      if (this_line.find('\0') != std::string_view::npos || !is_utf8(this_line)) break;
      rest.remove_prefix(end + 1);
    }
    throw ConfigError(where + ": line " + std::to_string(line), "holds bytes that are no text",
                      "a CSV is UTF-8 text; save it as such");
  }
  return Parser(text, where).rows();
}

}  // namespace kvcast::report
