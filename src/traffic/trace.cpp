#include "traffic/trace.h"

#include <fcntl.h>
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

namespace kvcast::traffic {
namespace {

// Marks are as close as the least, but there are no more than the most: thousands of copies seek by them.
constexpr std::uint64_t kLeastMarkBytes = 4096, kMostMarks = 65536;
// Whole milliseconds up to here are exact in a double.
constexpr double kMaxMs = 9007199254740992.0;
constexpr const char* kAllColumns = "timestamp_ms, user_id, history_len, n_candidates";

constexpr std::pair<TraceColumn, const char*> kColumns[] = {{TraceColumn::timestamp, "timestamp_ms"},
                                                            {TraceColumn::user, "user_id"},
                                                            {TraceColumn::history, "history_len"},
                                                            {TraceColumn::candidates, "n_candidates"}};

const char* name_of(TraceColumn column) {
  return std::find_if(std::begin(kColumns), std::end(kColumns),
                      [&](const auto& known) { return known.first == column; })
      ->second;
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

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// RFC 4180 within one line. The problem, empty when there is none.
std::string split(std::string_view line, std::vector<std::string>& cells) {
  cells.clear();
  for (;;) {
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    std::string cell;
    if (!line.empty() && line.front() == '"') {
      std::size_t i = 1;
      for (;; ++i) {
        if (i >= line.size()) return "a quote is not closed";
        if (line[i] == '"' && (i + 1 >= line.size() || line[++i] != '"')) break;
        cell += line[i];
      }
      // The loop stops on the character behind the closing quote, or on the quote when the line ends there.
      if (i < line.size() && line[i] == '"') ++i;
      line.remove_prefix(std::min(i, line.size()));
      while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
      if (!line.empty() && line.front() != ',') return "text behind a closing quote";
    } else {
      const std::size_t comma = std::min(line.find(','), line.size());
      cell = trimmed(line.substr(0, comma));
      if (cell.find('"') != std::string::npos) return "a quote inside a cell that does not begin with one";
      line.remove_prefix(comma);
    }
    cells.push_back(std::move(cell));
    if (line.empty()) return "";
    line.remove_prefix(1);
  }
}

}  // namespace

TraceFile::TraceFile(const std::string& path) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) throw IoError(path, std::string("cannot be opened: ") + std::strerror(errno));
  struct stat status = {};
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    const int error = errno;
    ::close(descriptor_);
    throw IoError(path, S_ISDIR(status.st_mode) ? "is a folder"
                        : status.st_mode != 0   ? "is no regular file, and a trace is read more than once"
                                                : std::strerror(error));
  }
  bytes_ = static_cast<std::uint64_t>(status.st_size);
  changed_ns_ = std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

TraceFile::~TraceFile() { ::close(descriptor_); }

std::size_t TraceFile::read(std::uint64_t offset, char* into, std::size_t bytes) const {
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t got = ::pread(descriptor_, into + done, bytes - done, static_cast<off_t>(offset + done));
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

TraceFormat read_format(const std::string& path, const std::vector<TraceColumn>& needed, bool skip_bad_rows) {
  const TraceFile file(path);
  TraceFormat format{path, {}, 0, skip_bad_rows, file.bytes(), file.changed_ns()};
  std::string text(kMaxLineBytes, '\0');
  text.resize(file.read(0, text.data(), text.size()));
  const std::size_t end = std::min(text.find('\n'), text.size());
  format.rows_at = std::min<std::uint64_t>(end + 1, file.bytes());
  if (text.empty()) throw ConfigError(path, "is empty", std::string("a trace has the columns ") + kAllColumns);
  if (end == text.size() && file.bytes() > text.size()) {
    throw ConfigError(at_line(path, 1), "the line is longer than " + std::to_string(kMaxLineBytes) + " bytes",
                      std::string("a trace begins with the names of its columns: ") + kAllColumns);
  }
  std::string_view line(text.data(), end);
  if (line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
  if (line.ends_with('\r')) line.remove_suffix(1);
  std::vector<std::string> names;
  if (const std::string problem = split(line, names); !problem.empty()) {
    throw ConfigError(at_line(path, 1), problem, std::string("a trace has the columns ") + kAllColumns);
  }
  for (const std::string& name : names) {
    const auto known = std::find_if(std::begin(kColumns), std::end(kColumns),
                                    [&](const auto& column) { return column.second == name; });
    const bool wanted =
        known != std::end(kColumns) && std::find(needed.begin(), needed.end(), known->first) != needed.end();
    if (wanted && std::find(format.columns.begin(), format.columns.end(), known->first) != format.columns.end()) {
      throw ConfigError(at_line(path, 1), "the column " + name + " is there twice", "");
    }
    format.columns.push_back(wanted ? known->first : TraceColumn::ignored);
  }
  for (const TraceColumn column : needed) {
    if (std::find(format.columns.begin(), format.columns.end(), column) == format.columns.end()) {
      throw ConfigError(at_line(path, 1),
                        std::string("no column ") + name_of(column) + " among " + in_quotes(join(names, ",")),
                        std::string("a trace has the columns ") + kAllColumns);
    }
  }
  return format;
}

TraceReader::TraceReader(const TraceFormat& format, const TraceFile& file, std::size_t block_bytes)
    : format_(&format), file_(&file), buffer_(std::max<std::size_t>(block_bytes, 64)) {
  seek({format.rows_at, 2, 0, 0});
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
    if (!fast(begin, end, row) && !careful(begin, end, row)) continue;
    previous_ms_ = row.timestamp_ms;
    row.number = number_++;
    row.line = line_;
    return true;
  }
}

// Rows as programs write them. Whatever is unusual, wrong or not, is for careful().
bool TraceReader::fast(const char* at, const char* end, TraceRow& row) const noexcept {
  bool first = true;
  for (const TraceColumn column : format_->columns) {
    if (!first) {
      if (at == end || *at != ',') return false;
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
        if (error == std::errc() && (stop == end || *stop == ',') && canonical(at, stop)) {
          at = stop;
          break;
        }
        const char* begin = at;
        while (at != end && *at != ',' && *at != '"' && static_cast<unsigned char>(*at) > ' ') ++at;
        if (at == begin || (at != end && *at != ',')) return false;
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
        while (at != end && *at != ',' && *at != '"' && *at != '\0') ++at;
        break;
    }
  }
  return at == end;
}

// False: a row to pass over.
bool TraceReader::careful(const char* begin, const char* end, TraceRow& row) {
  const std::string_view line(begin, static_cast<std::size_t>(end - begin));
  if (trimmed(line).empty()) return false;
  if (line.find('\0') != std::string_view::npos) return bad("holds a NUL byte", "a trace is text");
  std::vector<std::string> cells;
  if (const std::string problem = split(line, cells); !problem.empty()) {
    return bad(problem, "quotes stand around a whole cell of one line, and twice for one inside it");
  }
  const std::vector<TraceColumn>& columns = format_->columns;
  if (cells.size() != columns.size()) {
    return bad(std::to_string(cells.size()) + (cells.size() == 1 ? " cell: " : " cells: ") + in_quotes(line),
               "the header has " + std::to_string(columns.size()));
  }
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string& cell = cells[i];
    const char* cell_end = cell.data() + cell.size();
    const auto fail = [&](const char* problem, const std::string& hint) {
      return bad(std::string(name_of(columns[i])) + " " + (cell.empty() ? "is empty" : in_quotes(cell) + " " + problem),
                 hint);
    };
    switch (columns[i]) {
      case TraceColumn::timestamp: {
        constexpr const char* kAllowed = "milliseconds as a number from 0 to 2^53";
        double ms = 0;
        const auto [stop, error] = std::from_chars(cell.data(), cell_end, ms);
        if (error == std::errc::result_out_of_range) return fail("is out of range", kAllowed);
        if (error != std::errc() || stop != cell_end || !std::isfinite(ms)) return fail("is not a number", kAllowed);
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
        const auto [stop, error] = std::from_chars(cell.data(), cell_end, value);
        if (stop != cell_end || error == std::errc::invalid_argument) return fail("is not a whole number", allowed);
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
  const TraceFile file(format.file);
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
  if (trace.rows == 0) {
    throw ConfigError(
        format.file,
        trace.skipped_rows > 0 ? "none of its " + std::to_string(trace.skipped_rows) + " rows is good" : "has no rows",
        "a trace has a row per request");
  }
  return trace;
}

}  // namespace kvcast::traffic
