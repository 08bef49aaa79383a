// Delimited text as programs and spreadsheets of every country write it: RFC 4180, other separators, comments, and
// numbers with a decimal comma or with marks between thousands. The one reader of timings and of traces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kvcast {

struct Record {
  std::int64_t line = 0;  ///< where it begins, from 1
  std::vector<std::string> cells;
  bool comment = false;         ///< begins with #; has no cells
  std::string problem;          ///< of the last cell; empty when there is none
  std::int64_t fault_line = 0;  ///< of the problem

  /// No row: blank, or cells that are all empty, as spreadsheets leave them below a table.
  bool blank() const noexcept;
  /// Also removes empty cells at the end beyond `most`.
  void trim_to(std::size_t most);
};

/// What to do about a Record's problem.
inline constexpr const char* kQuotesHint = "quote the whole cell, and double quotes inside it";

/// Records of a text, one after the other. Spaces and tabs around cells are dropped outside quotes; line ends are those
/// of every system. Text is a view of the caller's.
class Records {
 public:
  Records(std::string_view text, std::string_view separator, std::int64_t line = 1)
      : text_(text), separator_(separator), line_(line) {}

  /// False at the end. Behind a problem the rest of the text means nothing.
  bool next(Record& record);
  std::size_t offset() const noexcept { return at_; }  ///< of the record to come
  std::int64_t line() const noexcept { return line_; }

 private:
  bool at(std::string_view any) const { return at_ < text_.size() && any.find(text_[at_]) != std::string_view::npos; }
  bool take(std::string_view piece);
  void skip_blanks();
  bool cell(Record& record);
  bool quoted(Record& record);
  void end_line();

  std::string_view text_, separator_;
  std::size_t at_ = 0;
  std::int64_t line_ = 1;
};

/// What stands above the rows.
struct Heading {
  std::string separator = ",";        ///< of the rows
  std::string names_separator = ",";  ///< of the names; an input method may have made another of it
  std::vector<std::string> names;
  std::int64_t line = 1;                        ///< of the names
  std::size_t rows_at = 0;                      ///< offset behind them
  std::int64_t rows_line = 1;                   ///< of that
  std::int64_t comments = 0;                    ///< lines above that begin with #, and are not the names
  std::string problem, hint;                    ///< of the line; empty when there is none
  bool empty() const { return names.empty(); }  ///< there is none
};
/// The first line that is neither blank nor a comment, nor `sep=;`, which spreadsheets take; or the comment right above
/// rows of as many cells, as numpy writes names. The separator
/// is the one that gives it as many cells as the row below, and the most: comma, semicolon, tab, bar, or the full-width
/// forms of the first two.
Heading read_heading(std::string_view text);

/// Why a heading of one cell has no columns: "cells are separated by spaces; …"; "" when unknown.
std::string why_one_cell(const Heading& heading);

/// How a file writes its numbers. Thousands separators: the other one of '.' and ',', spaces, apostrophes.
struct Notation {
  char decimal = '.';
  bool grouped = false;  ///< with thousands separators
};

/// Finds the notation of all numbers of a file: '1,234' is one or a thousand, depending on the other cells.
class NotationFinder {
 public:
  /// whole: of a column of whole numbers.
  void see(std::string_view cell, bool whole, std::int64_t line);
  /// On failure `problem` has the reason: both notations occur, or neither can be excluded; otherwise empty. As a last
  /// resort, semicolons between cells mean decimal commas.
  Notation find(std::string_view separator, std::string& problem) const;

 private:
  struct Seen {
    std::string cell;
    std::int64_t line = 0;
    std::string text() const;
  };
  static void note(Seen& seen, std::string_view cell, std::int64_t line);
  // Of '.' and of ',': it stands before decimals; between several groups of thousands; it may be either, in a column
  // of whole numbers and in others.
  struct Mark {
    Seen decimal, groups, whole, either;
  };
  Mark point_, comma_;
};

/// The cell as std::from_chars reads it: '1.234,5' to "1234.5". As it is where it is no number of this notation.
std::string plain_number(std::string_view cell, const Notation& notation);

/// plain_number(), and "100" of "100.0".
std::string plain_whole_number(std::string_view cell, const Notation& notation);

/// What a file was taken for, where it is not as in RFC 4180: "cells separated by semicolons, numbers with a decimal
/// comma, 1 line that begins with # left out"; else "". comments: in the whole file.
std::string taken_for(const Heading& heading, const Notation& notation, std::int64_t comments);

}  // namespace kvcast
