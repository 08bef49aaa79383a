#include "traffic/trace.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "base/random.h"
#include "base/reading.h"
#include "base/text.h"
#include "kvcast/error.h"
#include "traffic/plain_copy.h"

namespace kvcast::traffic {
namespace {

constexpr const char* kAllColumns = "timestamp_ms, user_id, history_len, n_candidates";

// In the order of kTraceRoles.
constexpr std::pair<TraceColumn, const char*> kColumns[] = {{TraceColumn::timestamp, "timestamp_ms"},
                                                            {TraceColumn::user, "user_id"},
                                                            {TraceColumn::history, "history_len"},
                                                            {TraceColumn::candidates, "n_candidates"}};

/// In a file whose columns have these names where they have others.
std::string name_of(TraceColumn column, const ColumnNames& names) {
  for (std::size_t i = 0; i < std::size(kColumns); ++i) {
    if (kColumns[i].first != column) continue;
    for (const auto& [role, name] : names) {
      if (role == kTraceRoles[i]) return name;
    }
    return kColumns[i].second;
  }
  return "";
}

std::string at_line(const std::string& file, std::int64_t line) { return file + ":" + std::to_string(line); }

// A decimal number without leading zeros is itself; anything else, "007" too, is a name.
bool canonical(const char* begin, const char* end) { return *begin != '0' || end - begin == 1; }

// FNV-1a, mixed so that near names are far apart.
std::uint64_t hash_text(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return mix64(hash);
}

std::uint64_t user_of(std::string_view text) {
  std::uint64_t user = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, user);
  return error == std::errc() && stop == end && canonical(text.data(), end) ? user : hash_text(text);
}

// The one column whose name says that it holds timestamps, where none has its own name; "" when there is none.
std::string timestamp_column(const std::vector<std::string>& names, const std::string& place) {
  std::string found;
  for (const std::string& name : names) {
    if (!names_timestamps(name)) continue;
    if (!found.empty()) {
      throw ConfigError(place, "the columns " + printable(found) + " and " + printable(name) + " are both times",
                        "--columns timestamp=" + printable(found) + " picks the first");
    }
    found = name;
  }
  return found;
}

// How numbers are written in what `text` holds of the rows; the last one may be cut.
Notation numbers_of(const TraceFormat& format, std::string_view text, bool whole_file) {
  NotationFinder finder;
  Records records(text, format.heading.separator, format.heading.rows_line);
  for (Record record; records.next(record) && record.problem.empty();) {
    if (!whole_file && records.offset() >= text.size()) break;
    if (record.comment || record.cells.size() < format.columns.size()) continue;
    for (std::size_t i = 0; i < format.columns.size(); ++i) {
      const TraceColumn column = format.columns[i];
      if (column == TraceColumn::user || column == TraceColumn::ignored) continue;
      finder.see(record.cells[i], column != TraceColumn::timestamp, record.line);
    }
  }
  std::string problem;
  const Notation numbers = finder.find(format.heading.separator, problem);
  if (!problem.empty()) throw ConfigError(format.file, problem, "write 1234.5, without thousands separators");
  return numbers;
}

}  // namespace

TraceFile::TraceFile(const TraceFormat& format) : TraceFile(format.file, format.plain) {}

TraceFile::TraceFile(const std::string& path, Descriptor plain)
    : path_(path), descriptor_(plain.open() ? std::move(plain) : open_input(path)) {
  if (!descriptor_.open()) throw IoError(path, std::string("cannot be opened: ") + std::strerror(errno));
  struct stat status = {};
  if (::fstat(descriptor_.number(), &status) != 0) throw IoError(path, std::strerror(errno));
  if (!S_ISREG(status.st_mode)) {
    throw IoError(path,
                  S_ISDIR(status.st_mode) ? "is a folder" : "is not a regular file; - reads a pipe on standard input");
  }
  bytes_ = static_cast<std::uint64_t>(status.st_size);
}

std::size_t TraceFile::read(std::uint64_t offset, char* into, std::size_t bytes) const {
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t got = ::pread(descriptor_.number(), into + done, bytes - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw IoError(path_, std::string("cannot be read: ") + std::strerror(errno));
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

std::string TraceFormat::name(TraceColumn column) const { return printable(name_of(column, names)); }

TraceFormat read_format(const std::string& path, const std::vector<TraceColumn>& needed,
                        std::optional<double> skip_bad_rows, const ColumnNames& columns) {
  TraceFormat format;
  format.file = input_name(path);
  format.plain = plain_copy(path);
  format.skip_bad_rows = skip_bad_rows;
  const TraceFile file(format);
  std::string text(kMaxLineBytes, '\0');
  text.resize(file.read(0, text.data(), text.size()));
  const bool whole = file.bytes() <= text.size();
  const std::string hint = std::string("a trace has the columns ") + kAllColumns;
  const Heading& heading = format.heading = read_heading(text);
  const std::string place = at_line(format.file, heading.line);
  if (!whole && (heading.names.empty() || heading.rows_at >= text.size())) {
    throw ConfigError(place, "the line is longer than " + std::to_string(kMaxLineBytes) + " bytes",
                      std::string("a trace begins with its column names: ") + kAllColumns);
  }
  if (!heading.problem.empty()) throw ConfigError(place, heading.problem, heading.hint);
  if (heading.names.empty()) throw ConfigError(format.file, "is empty", hint);
  if (text.find('\n') == std::string::npos && text.find('\r') != std::string::npos) {
    throw ConfigError(format.file, "its lines end in a lone carriage return", "save it with Unix or Windows line ends");
  }
  format.columns.assign(heading.names.size(), TraceColumn::ignored);
  format.names = columns;
  for (const TraceColumn column : needed) {
    std::string name = name_of(column, columns);
    auto found = std::find(heading.names.begin(), heading.names.end(), name);
    if (found == heading.names.end() && column == TraceColumn::timestamp && name == kColumns[0].second) {
      const std::string other = timestamp_column(heading.names, place);
      if (!other.empty()) {
        format.names.emplace_back(kTraceRoles[0], other);
        format.timestamps_guessed = true;
        name = other;
        found = std::find(heading.names.begin(), heading.names.end(), name);
      }
    }
    if (found == heading.names.end()) {
      const std::string why = why_one_cell(heading);
      throw ConfigError(place, "no column " + printable(name) + " among " + in_quotes(join(heading.names, ",")),
                        !why.empty()      ? why
                        : columns.empty() ? hint + "; --columns gives them other names"
                                          : hint);
    }
    if (std::find(found + 1, heading.names.end(), name) != heading.names.end()) {
      throw ConfigError(place, "the column " + printable(name) + " appears twice", "");
    }
    format.columns[static_cast<std::size_t>(found - heading.names.begin())] = column;
  }
  format.numbers = numbers_of(format, std::string_view(text).substr(heading.rows_at), whole);
  return format;
}

void BadRows::add(std::int64_t at_line, const std::string& why, std::int64_t rows) {
  if (rows == 0) return;
  if (count == 0 || at_line < line) {
    line = at_line;
    problem = why;
  }
  count += rows;
}

void check_bad_rows(const TraceFormat& format, const BadRows& bad, std::int64_t good) {
  if (good == 0) {
    throw ConfigError(format.file,
                      bad.count > 0 ? "none of its " + std::to_string(bad.count) + " rows is good; line " +
                                          std::to_string(bad.line) + ": " + bad.problem
                                    : "has no rows",
                      "a trace has one row per request");
  }
  const double share = static_cast<double>(bad.count) / static_cast<double>(bad.count + good);
  if (share <= format.skip_bad_rows.value_or(1)) return;
  const auto percent = [](double of) { return format_significant(100 * of, 3) + "%"; };
  throw ConfigError("--skip-bad-rows",
                    std::to_string(bad.count) + " of " + std::to_string(bad.count + good) + " rows of " + format.file +
                        " are bad (" + percent(share) + "), the first at line " + std::to_string(bad.line) + ": " +
                        bad.problem,
                    "at most " + percent(*format.skip_bad_rows) + " may be skipped; --skip-bad-rows=" +
                        std::to_string(static_cast<int>(std::ceil(100 * share))) + "% skips these");
}

TraceReader::TraceReader(const TraceFormat& format, const TraceFile& file, std::size_t block_bytes)
    : format_(&format),
      file_(&file),
      buffer_(std::max<std::size_t>(block_bytes, 64)),
      buffer_offset_(format.heading.rows_at),
      line_(format.heading.rows_line - 1) {}

TraceReader::Line TraceReader::take_line(const char*& begin, const char*& end) {
  bool too_long = false;
  for (std::size_t searched = 0;;) {
    const void* found = std::memchr(buffer_.data() + at_ + searched, '\n', filled_ - at_ - searched);
    if (found != nullptr || (file_ended_ && (at_ < filled_ || too_long))) {
      begin = buffer_.data() + at_;
      end = found != nullptr ? static_cast<const char*>(found) : buffer_.data() + filled_;
      at_ = static_cast<std::size_t>(end - buffer_.data()) + (found != nullptr ? 1 : 0);
      ++line_;
      return too_long || static_cast<std::size_t>(end - begin) > kMaxLineBytes ? Line::too_long : Line::whole;
    }
    if (file_ended_) return Line::none;
    if (filled_ - at_ > kMaxLineBytes) {
      // Only its end matters now.
      too_long = true;
      at_ = filled_;
    }
    const std::size_t kept = filled_ - at_;
    std::memmove(buffer_.data(), buffer_.data() + at_, kept);
    buffer_offset_ += at_;
    at_ = 0;
    filled_ = searched = kept;
    if (filled_ == buffer_.size()) buffer_.resize(2 * buffer_.size());
    const std::size_t got = file_->read(buffer_offset_ + filled_, buffer_.data() + filled_, buffer_.size() - filled_);
    file_ended_ = got < buffer_.size() - filled_;
    filled_ += got;
    tell_reading(format_->file, buffer_offset_ + filled_, file_->bytes());
  }
}

bool TraceReader::next(TraceRow& row) {
  const char* begin = nullptr;
  const char* end = nullptr;
  for (;;) {
    const Line taken = take_line(begin, end);
    if (taken == Line::none) return false;
    if (taken == Line::too_long) {
      bad("the line is longer than " + std::to_string(kMaxLineBytes) + " bytes", "a row of four short cells");
      continue;
    }
    if (end > begin && end[-1] == '\r') --end;
    if (begin < end && *begin == '#') {
      ++comments_;
      continue;
    }
    if (!fast(begin, end, row) && !careful(begin, end, row)) continue;
    row.line = line_;
    return true;
  }
}

// Rows as programs write them. Whatever is unusual, wrong or not, is for careful().
bool TraceReader::fast(const char* at, const char* end, TraceRow& row) const {
  if (format_->heading.separator.size() > 1 || format_->numbers.decimal != '.') return false;
  const char separator = format_->heading.separator[0];
  bool first = true;
  for (const TraceColumn column : format_->columns) {
    if (!first) {
      if (at == end || *at != separator) return false;
      ++at;
    }
    first = false;
    switch (column) {
      case TraceColumn::timestamp: {
        row.stamp = {};
        const char* begin = at;
        const auto [stop, error] = std::from_chars(at, end, row.stamp.whole);
        if (error != std::errc() || *at == '-') return false;
        at = stop;
        if (at != end && *at == '.') {
          std::int32_t unit = 100'000'000;
          for (++at; at != end && *at >= '0' && *at <= '9'; ++at, unit /= 10) {
            row.stamp.billionths += unit * (*at - '0');
          }
        }
        if (at != end && *at != separator) {
          at = std::find(at, end, separator);
          if (!parse_stamp({begin, static_cast<std::size_t>(at - begin)}, row.stamp).empty()) return false;
        }
        break;
      }
      case TraceColumn::user: {
        const auto [stop, error] = std::from_chars(at, end, row.user);
        if (error == std::errc() && (stop == end || *stop == separator) && canonical(at, stop)) {
          at = stop;
          break;
        }
        const char* begin = at;
        while (at != end && *at != separator && *at != '"' && static_cast<unsigned char>(*at) > ' ') ++at;
        if (at == begin || (at != end && *at != separator)) return false;
        row.user = hash_text({begin, static_cast<std::size_t>(at - begin)});
        break;
      }
      case TraceColumn::history:
      case TraceColumn::candidates: {
        std::uint64_t value = 0;
        const auto [stop, error] = std::from_chars(at, end, value);
        if (error != std::errc() || value > static_cast<std::uint64_t>(kMaxTokens)) return false;
        (column == TraceColumn::history ? row.history : row.candidates) = static_cast<std::int64_t>(value);
        at = stop;
        break;
      }
      case TraceColumn::ignored:
        while (at != end && *at != separator && *at != '"' && *at != '\0') ++at;
        break;
    }
  }
  return at == end;
}

// False: a row to pass over.
bool TraceReader::careful(const char* begin, const char* end, TraceRow& row) {
  const std::string_view line(begin, static_cast<std::size_t>(end - begin));
  if (line.find('\0') != std::string_view::npos) return bad("holds a NUL byte", "a trace is text");
  Record record;
  Records records(line, format_->heading.separator);
  if (!records.next(record)) return false;
  comments_ += record.comment ? 1 : 0;
  if (record.blank()) return false;
  if (record.problem.empty() && records.offset() < line.size()) {
    return bad("has a carriage return inside: " + in_quotes(line), "a row is a line");
  }
  if (!record.problem.empty()) return bad(record.problem, kQuotesHint);
  const std::vector<TraceColumn>& columns = format_->columns;
  record.trim_to(columns.size());
  const std::vector<std::string>& cells = record.cells;
  if (cells.size() != columns.size()) {
    return bad(std::to_string(cells.size()) + (cells.size() == 1 ? " cell: " : " cells: ") + in_quotes(line),
               "the header has " + std::to_string(columns.size()) +
                   (cells.size() > columns.size() ? "; with decimal commas, cells are separated by semicolons" : ""));
  }
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string& cell = cells[i];
    const std::string number = columns[i] == TraceColumn::timestamp ? plain_number(cell, format_->numbers)
                                                                    : plain_whole_number(cell, format_->numbers);
    const char* const number_end = number.data() + number.size();
    const auto fail = [&](const char* problem, const std::string& hint) {
      return bad(format_->name(columns[i]) + " " + (cell.empty() ? "is empty" : in_quotes(cell) + " " + problem), hint);
    };
    switch (columns[i]) {
      case TraceColumn::timestamp: {
        const std::string problem = cell.empty() ? "" : parse_stamp(number, row.stamp);
        if (cell.empty() || !problem.empty()) return fail(problem.c_str(), kStampsAllowed);
        break;
      }
      case TraceColumn::user:
        if (cell.empty()) return fail("", "any text or number");
        row.user = user_of(cell);
        break;
      case TraceColumn::history:
      case TraceColumn::candidates: {
        const std::string allowed = "a whole number from 0 to " + std::to_string(kMaxTokens);
        std::int64_t value = 0;
        const auto [stop, error] = std::from_chars(number.data(), number_end, value);
        if (stop != number_end || error == std::errc::invalid_argument) return fail("is not a whole number", allowed);
        if (value < 0 || (error != std::errc() && cell[0] == '-')) return fail("is negative", allowed);
        if (error != std::errc() || value > kMaxTokens) return fail("is out of range", allowed);
        (columns[i] == TraceColumn::history ? row.history : row.candidates) = value;
        break;
      }
      case TraceColumn::ignored:
        break;
    }
  }
  return true;
}

bool TraceReader::bad(const std::string& problem, const std::string& hint) {
  if (!format_->skip_bad_rows) throw ConfigError(at_line(format_->file, line_), problem, hint);
  skipped_.add(line_, problem);
  return false;
}

}  // namespace kvcast::traffic
