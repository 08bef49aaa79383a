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
#include "base/text.h"
#include "kvcast/error.h"
#include "traffic/plain_copy.h"

namespace kvcast::traffic {
namespace {

// Marks are as close as the least, but there are no more than the most: thousands of copies seek by them.
constexpr std::uint64_t kLeastMarkBytes = 4096, kMostMarks = 65536;
// Whole milliseconds up to here are exact in a double.
constexpr double kMaxMs = 9007199254740992.0;
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
  if (!problem.empty()) throw ConfigError(format.file, problem, "write 1234.5 without marks between thousands");
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
    throw IoError(path, S_ISDIR(status.st_mode) ? "is a folder"
                                                : "is no regular file, and a trace is read more than once; "
                                                  "- takes a pipe at standard input");
  }
  bytes_ = static_cast<std::uint64_t>(status.st_size);
  changed_ns_ = std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
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

void check_unchanged(const TraceFormat& format, const TraceFile& file) {
  if (file.bytes() != format.bytes || file.changed_ns() != format.changed_ns) {
    throw IoError(format.file, "changed while it was in use");
  }
}

TraceFormat read_format(const std::string& path, const std::vector<TraceColumn>& needed, bool skip_bad_rows,
                        const ColumnNames& columns) {
  TraceFormat format;
  format.file = input_name(path);
  format.plain = plain_copy(path);
  format.skip_bad_rows = skip_bad_rows;
  const TraceFile file(format);
  format.bytes = file.bytes();
  format.changed_ns = file.changed_ns();
  std::string text(kMaxLineBytes, '\0');
  text.resize(file.read(0, text.data(), text.size()));
  const bool whole = file.bytes() <= text.size();
  const std::string hint = std::string("a trace has the columns ") + kAllColumns;
  const Heading& heading = format.heading = read_heading(text);
  const std::string place = at_line(format.file, heading.line);
  if (!whole && (heading.names.empty() || heading.rows_at >= text.size())) {
    throw ConfigError(place, "the line is longer than " + std::to_string(kMaxLineBytes) + " bytes",
                      std::string("a trace begins with the names of its columns: ") + kAllColumns);
  }
  if (!heading.problem.empty()) throw ConfigError(place, heading.problem, heading.hint);
  if (heading.names.empty()) throw ConfigError(format.file, "is empty", hint);
  if (text.find('\n') == std::string::npos && text.find('\r') != std::string::npos) {
    throw ConfigError(format.file, "its lines end in a carriage return alone",
                      "save it with line ends of Unix or Windows");
  }
  format.columns.assign(heading.names.size(), TraceColumn::ignored);
  for (const TraceColumn column : needed) {
    const std::string name = name_of(column, columns);
    const auto found = std::find(heading.names.begin(), heading.names.end(), name);
    if (found == heading.names.end()) {
      const std::string why = why_one_cell(heading);
      throw ConfigError(place, "no column " + printable(name) + " among " + in_quotes(join(heading.names, ",")),
                        !why.empty()      ? why
                        : columns.empty() ? hint + "; --columns gives them other names"
                                          : hint);
    }
    if (std::find(found + 1, heading.names.end(), name) != heading.names.end()) {
      throw ConfigError(place, "the column " + printable(name) + " is there twice", "");
    }
    format.columns[static_cast<std::size_t>(found - heading.names.begin())] = column;
  }
  format.names = columns;
  format.numbers = numbers_of(format, std::string_view(text).substr(heading.rows_at), whole);
  return format;
}

TraceReader::TraceReader(const TraceFormat& format, const TraceFile& file, std::size_t block_bytes)
    : format_(&format), file_(&file), buffer_(std::max<std::size_t>(block_bytes, 64)) {
  seek({format.heading.rows_at, format.heading.rows_line, 0, 0});
}

void TraceReader::seek(const TraceMark& mark) {
  at_ = filled_ = 0;
  buffer_offset_ = mark.offset;
  file_ended_ = false;
  line_ = mark.line - 1;
  number_ = mark.number;
  previous_ms_ = mark.previous_ms;
}

TraceMark TraceReader::mark() const noexcept { return {buffer_offset_ + at_, line_ + 1, number_, previous_ms_}; }

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
    previous_ms_ = row.timestamp_ms;
    row.number = number_++;
    row.line = line_;
    return true;
  }
}

// Rows as programs write them. Whatever is unusual, wrong or not, is for careful().
bool TraceReader::fast(const char* at, const char* end, TraceRow& row) const noexcept {
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
        std::uint64_t whole = 0;
        auto [stop, error] = std::from_chars(at, end, whole);
        if (error != std::errc() || whole >= static_cast<std::uint64_t>(kMaxMs)) return false;
        row.timestamp_ms = static_cast<double>(whole);
        if (stop != end && *stop == '.') {
          const auto fraction = std::from_chars(at, end, row.timestamp_ms, std::chars_format::fixed);
          if (fraction.ec != std::errc()) return false;
          stop = fraction.ptr;
        }
        if (row.timestamp_ms < previous_ms_) return false;
        at = stop;
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
    return bad("holds a carriage return within: " + in_quotes(line), "a row is a line");
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
      return bad(printable(name_of(columns[i], format_->names)) + " " +
                     (cell.empty() ? "is empty" : in_quotes(cell) + " " + problem),
                 hint);
    };
    switch (columns[i]) {
      case TraceColumn::timestamp: {
        constexpr const char* kAllowed = "milliseconds as a number from 0 to 2^53";
        double ms = 0;
        const auto [stop, error] = std::from_chars(number.data(), number_end, ms);
        if (error == std::errc::result_out_of_range) return fail("is out of range", kAllowed);
        if (error != std::errc() || stop != number_end || !std::isfinite(ms)) return fail("is not a number", kAllowed);
        if (ms < 0) return fail("is negative", kAllowed);
        if (ms > kMaxMs) return fail("is out of range", kAllowed);
        if (ms < previous_ms_) {
          return fail(("is before " + format_double(previous_ms_) + " of the row before it").c_str(),
                      "rows are in order of time");
        }
        row.timestamp_ms = ms;
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
  ++skipped_;
  return false;
}

const TraceMark& Trace::mark_before(double since_first_ms) const noexcept {
  const auto after = std::partition_point(marks.begin() + 1, marks.end(), [&](const TraceMark& mark) {
    return mark.previous_ms - first_ms < since_first_ms;
  });
  return after[-1];
}

Trace index_trace(const TraceFormat& format) {
  const TraceFile file(format);
  check_unchanged(format, file);
  TraceReader reader(format, file, kReadBytes);
  Trace trace;
  trace.format = format;
  TraceRow row;
  const std::uint64_t mark_bytes = std::max(kLeastMarkBytes, format.bytes / kMostMarks);
  for (std::uint64_t next_mark = 0;;) {
    if (const TraceMark mark = reader.mark(); mark.offset >= next_mark) {
      trace.marks.push_back(mark);
      next_mark = mark.offset + mark_bytes;
    }
    if (!reader.next(row)) break;
    if (trace.rows++ == 0) trace.first_ms = row.timestamp_ms;
    if (row.candidates == 0 && trace.unrecorded++ == 0) trace.unrecorded_line = row.line;
  }
  trace.last_ms = reader.mark().previous_ms;
  trace.skipped_rows = reader.skipped();
  trace.comment_lines = format.heading.comments + reader.comments();
  if (trace.rows == 0) {
    throw ConfigError(
        format.file,
        trace.skipped_rows > 0 ? "none of its " + std::to_string(trace.skipped_rows) + " rows is good" : "has no rows",
        "a trace has a row per request");
  }
  return trace;
}

}  // namespace kvcast::traffic
