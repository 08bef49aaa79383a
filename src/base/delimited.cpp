#include "base/delimited.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/text.h"

namespace kvcast {
namespace {

constexpr std::string_view kBom = "\xef\xbb\xbf";

struct Separator {
  std::string_view mark, name;
};
// By how common they are.
constexpr std::array<Separator, 6> kSeparators = {{{",", "commas"},
                                                   {";", "semicolons"},
                                                   {"\t", "tabs"},
                                                   {"|", "bars (|)"},
                                                   {"\xef\xbc\x8c", "full-width commas (U+FF0C)"},
                                                   {"\xef\xbc\x9b", "full-width semicolons (U+FF1B)"}}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool all_digits(std::string_view text) { return !text.empty() && std::all_of(text.begin(), text.end(), is_digit); }

std::string_view without_blanks(std::string_view text) {
  constexpr std::string_view kBlanks = " \t";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

std::vector<std::string> first_cells(std::string_view text, std::string_view separator) {
  Records records(text, separator);
  Record record;
  while (records.next(record)) {
    if (!record.comment && !record.blank()) return record.problem.empty() ? record.cells : std::vector<std::string>();
  }
  return {};
}

bool looks_like_data(const std::vector<std::string>& cells) {
  return std::any_of(cells.begin(), cells.end(), [](std::string_view cell) {
    if (cell.starts_with('-') || cell.starts_with('.')) cell.remove_prefix(1);
    return !cell.empty() && is_digit(cell[0]);
  });
}

/// What makes as many cells of `head` as of the record below it; of several the one that makes the most.
std::string_view separator_of(std::string_view head, std::string_view below) {
  std::string_view best = kSeparators[0].mark;
  std::size_t most = 1;
  bool best_fits = false;
  for (const Separator& separator : kSeparators) {
    const std::size_t cells = first_cells(head, separator.mark).size();
    const bool fits = first_cells(below, separator.mark).size() == cells;
    if (cells < 2 || fits < best_fits || (fits == best_fits && cells <= most)) continue;
    best = separator.mark;
    most = cells;
    best_fits = fits;
  }
  return best;
}

std::string_view name_of(std::string_view separator) {
  for (const Separator& known : kSeparators) {
    if (known.mark == separator) return known.name;
  }
  return {};
}

/// Of a line `sep=;`, as spreadsheets write and take it: what it says. Nothing for any other line.
std::optional<std::string_view> said_separator(std::string_view line) {
  line = without_blanks(line);
  if (line.starts_with('"')) line.remove_prefix(1);
  if (line.size() < 4 || (line[0] | 0x20) != 's' || (line[1] | 0x20) != 'e' || (line[2] | 0x20) != 'p' ||
      line[3] != '=')
    return std::nullopt;
  line.remove_prefix(4);
  // A tab is no blank here. Behind it: a quote, or the separators of a table that was saved again.
  for (const Separator& separator : kSeparators) {
    if (line.starts_with(separator.mark)) return separator.mark;
  }
  return line.empty() ? std::string_view("\t") : line;
}

constexpr std::string_view kMarks = ".,";

}  // namespace

bool Record::blank() const noexcept {
  return problem.empty() &&
         std::all_of(cells.begin(), cells.end(), [](const std::string& cell) { return cell.empty(); });
}

void Record::trim_to(std::size_t most) {
  while (cells.size() > most && cells.back().empty()) cells.pop_back();
}

bool Records::take(std::string_view piece) {
  if (!text_.substr(at_).starts_with(piece)) return false;
  at_ += piece.size();
  return true;
}

void Records::skip_blanks() {
  const std::string_view blanks = separator_ == "\t" ? " " : " \t";
  while (at(blanks)) ++at_;
}

bool Records::next(Record& record) {
  record = {line_, {}, false, "", 0};
  if (at_ >= text_.size()) return false;
  skip_blanks();
  if (at("#")) {
    record.comment = true;
    at_ = std::min(text_.find_first_of("\r\n", at_), text_.size());
  } else {
    do {
      if (!cell(record)) return true;
    } while (take(separator_));
  }
  end_line();
  return true;
}

/// Reads one cell up to the separator or line end behind it. False with a problem.
bool Records::cell(Record& record) {
  skip_blanks();
  std::string& value = record.cells.emplace_back();
  record.fault_line = line_;
  if (take("\"")) return quoted(record);
  std::size_t end = at_;
  for (;; ++end) {
    end = text_.find_first_of(std::array{separator_[0], '\r', '\n', '"'}.data(), end, 4);
    if (end == std::string_view::npos) end = text_.size();
    if (end == text_.size() || text_[end] != separator_[0] || text_.substr(end).starts_with(separator_)) break;
  }
  if (end < text_.size() && text_[end] == '"') {
    record.problem = "a quote inside an unquoted cell";
    return false;
  }
  value = text_.substr(at_, end - at_);
  value.erase(value.find_last_not_of(" \t") + 1);
  at_ = end;
  return true;
}

bool Records::quoted(Record& record) {
  std::string& value = record.cells.back();
  for (;;) {
    if (at_ >= text_.size()) {
      record.problem = "the quote is not closed";
      return false;
    }
    const char c = text_[at_++];
    if (c == '"' && !take("\"")) break;
    if (c == '\n' || (c == '\r' && !at("\n"))) ++line_;
    value += c;
  }
  skip_blanks();
  if (at_ >= text_.size() || at("\r\n") || text_.substr(at_).starts_with(separator_)) return true;
  record.problem = "text behind a closing quote";
  record.fault_line = line_;
  return false;
}

void Records::end_line() {
  take("\r");
  take("\n");
  ++line_;
}

Heading read_heading(std::string_view text) {
  Heading heading;
  std::string_view comment;  // right above
  std::int64_t comment_line = 0;
  bool said = false;
  std::size_t at = text.starts_with(kBom) ? kBom.size() : 0;
  std::int64_t line = 1;
  const auto line_end = [&] { return std::min(text.find_first_of("\r\n", at), text.size()); };
  for (; at < text.size(); ++line) {
    const std::string_view this_line = text.substr(at, line_end() - at), content = without_blanks(this_line);
    const auto separator = said || heading.comments > 0 ? std::nullopt : said_separator(this_line);
    if (separator) {
      if (name_of(*separator).empty()) {
        heading.line = line;
        heading.problem = in_quotes(content) + " is not a known separator";
        heading.hint = "sep= with a comma, a semicolon, a tab or a bar";
        return heading;
      }
      heading.separator = heading.names_separator = *separator;
      said = true;
    } else if (content.starts_with('#')) {
      ++heading.comments;
      comment = without_blanks(content.substr(
          content.find_first_not_of('#') == std::string_view::npos ? content.size() : content.find_first_not_of('#')));
      comment_line = line;
    } else if (content.find_first_not_of(" \t,;|\"") != std::string_view::npos) {
      break;
    }
    at = line_end();
    at += text.substr(at).starts_with("\r\n") ? 2 : at < text.size() ? 1 : 0;
  }
  if (at >= text.size() && comment.empty()) return heading;
  const std::string_view first = text.substr(at);
  if (!comment.empty()) {
    const std::string_view separator = said ? std::string_view(heading.separator) : separator_of(comment, first);
    std::vector<std::string> names = first_cells(comment, separator), below = first_cells(first, separator);
    if (names.size() > 1 && !looks_like_data(names) &&
        (below.empty() || (looks_like_data(below) && below.size() == names.size()))) {
      heading.separator = heading.names_separator = separator;
      heading.names = std::move(names);
      --heading.comments;
      heading.line = comment_line;
      heading.rows_at = at;
      heading.rows_line = line;
      return heading;
    }
    if (first.empty()) return heading;
  }
  if (!said) {
    const std::size_t end = std::min(first.find_first_of("\r\n"), first.size());
    const std::string_view head = first.substr(0, end), below = first.substr(end);
    heading.separator = heading.names_separator = separator_of(head, below);
    const std::size_t cells = first_cells(head, heading.separator).size();
    if (cells > 1 && first_cells(below, heading.separator).size() == 1) {
      for (const Separator& other : kSeparators) {
        if (first_cells(below, other.mark).size() == cells) heading.separator = other.mark;
      }
    }
  }
  Records records(first, heading.names_separator, line);
  Record record;
  records.next(record);
  heading.line = record.line;
  if (!record.problem.empty()) {
    heading.line = record.fault_line;
    heading.problem = record.problem;
    heading.hint = kQuotesHint;
    return heading;
  }
  heading.names = std::move(record.cells);
  heading.rows_at = at + records.offset();
  heading.rows_line = records.line();
  return heading;
}

std::string why_one_cell(const Heading& heading) {
  if (heading.names.size() != 1 || heading.names[0].find_first_of(" \t") == std::string::npos) return "";
  return "separate cells by commas, semicolons or tabs, not by spaces";
}

std::string NotationFinder::Seen::text() const { return in_quotes(cell) + " in line " + std::to_string(line); }

namespace {

/// Digits of groups of three with `mark` between them, without it. Nothing where they are not so grouped.
std::optional<std::string> ungrouped(std::string_view text, std::string_view mark) {
  std::string digits;
  for (bool first = true;; first = false) {
    const std::size_t end = std::min(text.find(mark), text.size());
    const std::string_view group = text.substr(0, end);
    if (!all_digits(group) || (first ? group.size() > 3 || (group[0] == '0') : group.size() != 3)) return std::nullopt;
    digits += group;
    if (end == text.size()) return digits;
    text.remove_prefix(end + mark.size());
  }
}

// Spaces (no-break, narrow no-break, thin) and apostrophes.
constexpr std::string_view kOtherMarks[] = {" ", "\xc2\xa0", "\xe2\x80\xaf", "\xe2\x80\x89", "'", "\xe2\x80\x99"};

/// Sign, digits and marks, and the exponent.
struct Parts {
  std::string_view sign, body, exponent;
};
Parts parts_of(std::string_view cell) {
  Parts parts;
  if (cell.starts_with('-')) {
    parts.sign = cell.substr(0, 1);
    cell.remove_prefix(1);
  }
  const std::size_t e = std::min(cell.find_first_of("eE"), cell.size());
  parts.body = cell.substr(0, e);
  parts.exponent = cell.substr(e);
  return parts;
}

}  // namespace

void NotationFinder::note(Seen& seen, std::string_view cell, std::int64_t line) {
  if (seen.line == 0) seen = {std::string(cell), line};
}

void NotationFinder::see(std::string_view cell, bool whole, std::int64_t line) {
  const auto [sign, body, exponent] = parts_of(cell);
  const std::size_t last = body.find_last_of(kMarks);
  if (last == std::string_view::npos || !is_digit(body.back())) return;
  const char mark = body[last];
  if (plain_number(cell, {mark, false}).find_first_not_of("0123456789.-+eE") != std::string::npos &&
      !ungrouped(body, std::string_view(&mark, 1))) {
    return;
  }
  const std::string_view before = body.substr(0, last);
  Mark& seen = mark == ',' ? comma_ : point_;
  const char other = mark == ',' ? '.' : ',';
  if (before.find(other) != std::string_view::npos && ungrouped(before, std::string_view(&other, 1))) {
    note((mark == ',' ? point_ : comma_).groups, cell, line);
  }
  if (before.find(mark) != std::string_view::npos) {
    if (ungrouped(body, std::string_view(&mark, 1))) note(seen.groups, cell, line);
    return;
  }
  if (!all_digits(body.substr(last + 1))) return;
  const bool either = exponent.empty() && ungrouped(body, std::string_view(&mark, 1)).has_value();
  note(!either ? seen.decimal : whole ? seen.whole : seen.either, cell, line);
}

Notation NotationFinder::find(std::string_view separator, std::string& problem) const {
  const auto is = [](const Seen& seen) { return seen.line != 0; };
  const auto either = [&](const Seen& seen) {
    std::string small = seen.cell, large = seen.cell;
    std::replace(small.begin(), small.end(), ',', '.');
    large.erase(std::remove_if(large.begin(), large.end(), [](char c) { return c == ',' || c == '.'; }), large.end());
    problem =
        seen.text() + " may be " + printable(small) + " or " + printable(large) + ", and no other number decides it";
    return Notation{};
  };
  const bool points = is(point_.decimal) || is(comma_.groups), commas = is(comma_.decimal) || is(point_.groups);
  if (points && commas) {
    problem = "numbers have decimal points and decimal commas: " +
              (is(point_.decimal) ? point_.decimal : comma_.groups).text() + ", " +
              (is(comma_.decimal) ? comma_.decimal : point_.groups).text();
    return {};
  }
  const bool any_comma = is(comma_.groups) || is(comma_.whole) || is(comma_.either),
             any_point = is(point_.groups) || is(point_.whole) || is(point_.either);
  if (points) return {'.', any_comma};
  if (commas) return is(comma_.whole) ? either(comma_.whole) : Notation{',', any_point};
  if (is(comma_.whole)) return is(point_.whole) ? either(point_.whole) : Notation{'.', true};
  // Spreadsheets write semicolons where the comma is for decimals.
  const bool local = separator == ";";
  if (is(point_.whole)) return local ? Notation{',', true} : either(point_.whole);
  if (is(comma_.either)) return local && !is(point_.either) ? Notation{',', false} : either(comma_.either);
  return local && is(point_.either) ? either(point_.either) : Notation{};
}

std::string plain_number(std::string_view cell, const Notation& notation) {
  const auto [sign, body, exponent] = parts_of(cell);
  if (notation.decimal == '.' && body.find_first_not_of("0123456789.") == std::string_view::npos)
    return std::string(cell);
  const std::size_t point = std::min(body.find(notation.decimal), body.size());
  const std::string_view whole = body.substr(0, point), decimals = body.substr(std::min(point + 1, body.size()));
  if (point < body.size() && !all_digits(decimals)) return std::string(cell);
  std::string digits(whole);
  if (!all_digits(whole) && !whole.empty()) {
    const std::string_view other = notation.decimal == '.' ? "," : ".";
    std::optional<std::string> joined = ungrouped(whole, other);
    for (const std::string_view mark : kOtherMarks) {
      if (!joined) joined = ungrouped(whole, mark);
    }
    if (!joined) return std::string(cell);
    digits = std::move(*joined);
  }
  return std::string(sign) + digits + (point < body.size() ? "." + std::string(decimals) : "") + std::string(exponent);
}

std::string plain_whole_number(std::string_view cell, const Notation& notation) {
  std::string text = plain_number(cell, notation);
  const std::size_t point = text.find('.');
  if (point == std::string::npos || point == 0 || point + 1 == text.size()) return text;
  if (text.find_first_not_of('0', point + 1) == std::string::npos) text.erase(point);
  return text;
}

std::string taken_for(const Heading& heading, const Notation& notation, std::int64_t comments) {
  std::vector<std::string> said;
  if (heading.separator != ",") said.push_back("cells separated by " + std::string(name_of(heading.separator)));
  if (heading.names_separator != heading.separator) {
    said.push_back("names of columns separated by " + std::string(name_of(heading.names_separator)));
  }
  if (notation.decimal == ',') said.emplace_back("numbers with a decimal comma");
  if (notation.grouped) {
    said.push_back(std::string("a ") + (notation.decimal == ',' ? "point" : "comma") + " between thousands");
  }
  if (comments > 0) {
    said.push_back(std::to_string(comments) + (comments == 1 ? " line that begins" : " lines that begin") +
                   " with # left out");
  }
  return join(said, ", ");
}

}  // namespace kvcast
