#include "journal/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "base/text.h"
#include "input/text/file.h"
#include "input/text/json.h"
#include "kvcast/error.h"
#include "report/describe.h"
#include "report/json.h"

namespace kvcast::journal {
namespace {

namespace fs = std::filesystem;
using report::Column;
using report::describe;

// Journals are read by the build that wrote them, so these tables only pair names with members.
const std::vector<Column<PlannedCase>>& planned_case_columns() {
  using T = PlannedCase;
  static const std::vector<Column<T>> columns = {
      describe<T>("history_length", "", "", &T::history_length),
      describe<T>("layers", "", "", &T::layers),
      describe<T>("workers", "", "", &T::workers),
      describe<T>("threads", "", "", &T::threads),
      describe<T>("batch", "", "", &T::batch),
      describe<T>("setup_s", "", "", &T::setup_s),
      describe<T>("round_s", "", "", &T::round_s),
      describe<T>("check_s", "", "", &T::check_s),
      describe<T>("memory_bytes", "", "", &T::memory_bytes),
  };
  return columns;
}

const std::vector<Column<PlannedPoint>>& planned_point_columns() {
  using T = PlannedPoint;
  static const std::vector<Column<T>> columns = {
      describe<T>("case_index", "", "", &T::case_index),
      describe<T>("scheme", "", "", &T::scheme),
      describe<T>("candidates", "", "", &T::candidates),
      describe<T>("status", "", "", &T::status),
      describe<T>("measured_candidates", "", "", &T::measured_candidates),
      describe<T>("estimated_s", "", "", &T::estimated_s),
      describe<T>("whole_s", "", "", &T::whole_s),
      describe<T>("reason", "", "", &T::reason),
  };
  return columns;
}

const std::vector<Column<Plan>>& plan_columns() {
  using T = Plan;
  static const std::vector<Column<T>> columns = {
      describe<T>("batches", "", "", &T::batches),
      describe<T>("setup_s", "", "", &T::setup_s),
      describe<T>("round_s", "", "", &T::round_s),
      describe<T>("check_s", "", "", &T::check_s),
      describe<T>("total_s", "", "", &T::total_s),
      describe<T>("rounds", "", "", &T::rounds),
      describe<T>("min_rounds", "", "", &T::min_rounds),
      describe<T>("max_rounds", "", "", &T::max_rounds),
      describe<T>("memory_bytes", "", "", &T::memory_bytes),
      describe<T>("whole_check_rounds", "", "", &T::whole_check_rounds),
  };
  return columns;
}

const std::vector<Column<JournalRound>>& round_columns() {
  using T = JournalRound;
  static const std::vector<Column<T>> columns = {
      describe<T>("round", "", "", &T::round),
      describe<T>("batch", "", "", &T::batch),
      describe<T>("measured_s", "", "", &T::measured_s),
  };
  return columns;
}

std::string head_line(const JournalHead& head) {
  Json line;
  line["schema"] = kSchema;
  line["tool"] = report::tool_json(head.tool);
  line["machine"] = report::to_json(report::machine_columns(), head.machine);
  line["config"] = Json::parse(config_to_json(head.config));
  Json& plan = line["plan"] = report::to_json(plan_columns(), head.plan);
  plan["cases"] = report::to_json(planned_case_columns(), head.plan.cases);
  plan["points"] = report::to_json(planned_point_columns(), head.plan.points);
  line["shard"] = head.shard ? report::to_json(report::shard_columns(), *head.shard) : Json(nullptr);
  line["self_check"] = head.self_check;
  line["assumed"] = head.config.assumed;
  return line.dump() + "\n";
}

std::string round_line(const JournalRound& round) {
  Json line = report::to_json(round_columns(), round);
  Json& samples = line["samples"] = Json::array();
  for (const auto& [index, sample] : round.samples) {
    samples.push_back(Json::array({index, report::to_json(report::sample_columns(), sample)}));
  }
  return line.dump() + "\n";
}

JournalHead read_head(const JsonPlace& place) {
  const JsonPlace schema = place.at("schema");
  if (schema.text() != kSchema) schema.fail("is '" + schema.text() + "'", kSchema);
  JournalHead head;
  head.tool = report::tool_from_json(place.at("tool"));
  report::from_json(place.at("machine"), report::machine_columns(), head.machine);
  head.config = report::config_from_json(place.at("config"));
  const JsonPlace plan = place.at("plan");
  report::from_json(plan, plan_columns(), head.plan);
  head.plan.cases = report::rows_from_json(plan.at("cases"), planned_case_columns());
  head.plan.points = report::rows_from_json(plan.at("points"), planned_point_columns());
  const auto cases = static_cast<std::int64_t>(head.plan.cases.size());
  for (const auto& point : plan.at("points").items()) {
    const JsonPlace index = point.at("case_index");
    if (index.integer() < 0 || index.integer() >= cases) index.fail("no such case", "those of the plan");
  }
  if (const JsonPlace shard = place.at("shard"); !shard.value().is_null()) {
    report::from_json(shard, report::shard_columns(), head.shard.emplace());
  }
  head.self_check = std::get<bool>(report::read_value(place.at("self_check"), report::Kind::boolean, false));
  if (place.value().contains("assumed")) {
    for (const auto& item : place.at("assumed").items()) head.config.assumed.push_back(item.text());
  }
  return head;
}

JournalRound read_round(const JsonPlace& place, std::size_t cases) {
  JournalRound round;
  report::from_json(place, round_columns(), round);
  for (const auto& item : place.at("samples").items()) {
    const auto pair = item.items();
    if (pair.size() != 2) item.fail("is no pair", "[case, sample]");
    const std::int64_t index = pair[0].integer();
    if (index < 0 || index >= static_cast<std::int64_t>(cases)) pair[0].fail("no such case", "those of the plan");
    report::from_json(pair[1], report::sample_columns(), round.samples.emplace_back(index, Sample{}).second);
  }
  return round;
}

JournalContents contents_of(const std::string& text, const std::string& path) {
  JournalContents contents;
  std::size_t at = 0;
  for (std::int64_t number = 1; at < text.size(); ++number) {
    const std::size_t end = text.find('\n', at);
    if (end == std::string::npos) {
      contents.torn = true;
      break;
    }
    const std::string where = path + ": line " + std::to_string(number);
    Json line;
    try {
      line = parse_json(text.substr(at, end - at), where);
    } catch (const ConfigError&) {
      // A power cut may leave the length of a line and not all of its bytes.
      const bool last = end + 1 == text.size();
      if (number == 1 || !last) throw;
      contents.torn = true;
      break;
    }
    if (number == 1) {
      contents.head = read_head({line, where});
    } else {
      contents.rounds.push_back(read_round({line, where}, contents.head.plan.cases.size()));
    }
    at = end + 1;
    contents.whole_bytes = static_cast<std::int64_t>(at);
  }
  if (contents.whole_bytes == 0) {
    throw ConfigError(path, "has no complete first line, so it holds no run", "remove the file and run again");
  }
  return contents;
}

[[noreturn]] void fail(const std::string& action, const std::string& path, int error) {
  throw IoError(path, "cannot " + action + ": " + std::strerror(error));
}

// The process that holds a lock of this file, " (process 123)"; empty where the system does not report it.
std::string holder_of(int descriptor) {
  struct stat status = {};
  if (::fstat(descriptor, &status) != 0) return "";
  // "1: FLOCK  ADVISORY  WRITE 123 fe:01:456 0 EOF", the device in hexadecimal.
  std::ifstream locks("/proc/locks");
  char file[64];
  std::snprintf(file, sizeof file, "%02x:%02x:%llu", major(status.st_dev), minor(status.st_dev),
                static_cast<unsigned long long>(status.st_ino));
  for (std::string line; std::getline(locks, line);) {
    std::istringstream words(line);
    std::string number, kind, advisory, access, process, where;
    words >> number >> kind >> advisory >> access >> process >> where;
    if (kind == "FLOCK" && where == file) return " (process " + process + ")";
  }
  return "";
}

[[noreturn]] void refuse_in_use(const std::string& path, const std::string& holder) {
  throw ConfigError(path, "in use by another kvcast" + holder, "wait until it has ended");
}

void lock(int descriptor, const std::string& path) {
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return;
  if (errno == EWOULDBLOCK) refuse_in_use(path, holder_of(descriptor));
  // Some network file systems have no locks; runs are worth more there than the guard against a second one.
  if (errno != ENOLCK && errno != ENOSYS && errno != EOPNOTSUPP) fail("lock", path, errno);
}

void sync(int descriptor, const std::string& path) {
  // EINVAL: the file system has nothing to flush to.
  if (::fsync(descriptor) != 0 && errno != EINVAL) fail("flush", path, errno);
}

}  // namespace

std::string journal_path(const std::string& folder) { return (fs::path(folder) / "journal.jsonl").string(); }

JournalContents read_journal(const std::string& path) { return contents_of(read_file(path), printable(path, 200)); }

void refuse_when_in_use(const std::string& folder) {
  const std::string path = journal_path(folder);
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  const bool taken = ::flock(descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  const std::string holder = taken ? holder_of(descriptor) : "";
  ::close(descriptor);
  if (taken) refuse_in_use(path, holder);
}

void remove_journal(const std::string& folder) noexcept {
  try {
    std::error_code ignored;
    fs::remove(journal_path(folder), ignored);
  } catch (...) {  // out of memory for the path
  }
}

JournalWriter::JournalWriter(std::string path, int descriptor, std::int64_t end)
    : path_(std::move(path)), descriptor_(descriptor), end_(end) {}

JournalWriter::JournalWriter(JournalWriter&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), end_(other.end_) {}

JournalWriter& JournalWriter::operator=(JournalWriter&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(end_, other.end_);
  return *this;
}

JournalWriter::~JournalWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

JournalWriter JournalWriter::create(const std::string& folder, const JournalHead& head) {
  const std::string path = journal_path(folder);
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor < 0 && errno == EEXIST) {
    refuse_when_in_use(folder);
    throw ConfigError(path, "holds an unfinished run", "--resume " + folder + " continues it, or remove the file");
  }
  if (descriptor < 0) fail("create", path, errno);
  JournalWriter writer(path, descriptor, 0);
  try {
    lock(descriptor, path);
    writer.write(head_line(head));
    const int parent = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0) fail("open", folder, errno);
    const JournalWriter closes("", parent, 0);
    sync(parent, folder);
  } catch (...) {
    ::unlink(path.c_str());
    throw;
  }
  return writer;
}

JournalWriter JournalWriter::reopen(const std::string& folder, const JournalContents& contents) {
  const std::string path = journal_path(folder);
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor < 0) fail("open", path, errno);
  JournalWriter writer(path, descriptor, contents.whole_bytes);
  lock(descriptor, path);
  // Under the lock, since another process may have gone on with it in between.
  const JournalContents now = read_journal(path);
  if (now.whole_bytes != contents.whole_bytes || head_line(now.head) != head_line(contents.head)) {
    throw ConfigError(path, "has changed since it was read", "resume again");
  }
  if (::ftruncate(descriptor, writer.end_) != 0) fail("cut off the torn last line", path, errno);
  sync(descriptor, path);
  return writer;
}

void JournalWriter::replace_head(const JournalHead& head) {
  end_ = 0;
  write(head_line(head));
  // What is left of a longer head is behind a whole line, as a torn round would be.
  if (::ftruncate(descriptor_, static_cast<off_t>(end_)) != 0) fail("cut", path_, errno);
  sync(descriptor_, path_);
}

void JournalWriter::append(const JournalRound& round) { write(round_line(round)); }

void JournalWriter::write(const std::string& line) {
  try {
    std::size_t done = 0;
    while (done < line.size()) {
      const ssize_t written = ::pwrite(descriptor_, line.data() + done, line.size() - done,
                                       static_cast<off_t>(end_ + static_cast<std::int64_t>(done)));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail("write", path_, errno);
      done += static_cast<std::size_t>(written);
    }
    sync(descriptor_, path_);
  } catch (const IoError&) {
    // What cannot be cut off is a torn line, which readers leave out and the next append() writes over.
    [[maybe_unused]] const int cut = ::ftruncate(descriptor_, static_cast<off_t>(end_));
    throw;
  }
  end_ += static_cast<std::int64_t>(line.size());
}

}  // namespace kvcast::journal
