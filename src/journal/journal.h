// The append-only journal of a run, `journal.jsonl` (docs/report.md): the request and the plan, then every
// finished round at once: a killed run loses only its current round.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kvcast/kvcast.h"

namespace kvcast::journal {

inline constexpr const char* kSchema = "kvcast.journal/1";

/// The first line: all that is needed to resume the run.
struct JournalHead {
  ToolInfo tool;
  MachineInfo machine;
  Config config;
  Plan plan;
  std::optional<Shard> shard;
  bool self_check = false;
};

/// Every further line.
struct JournalRound {
  std::int64_t round = 0;
  std::int64_t batch = 0;                                ///< of the plan's cases
  double measured_s = 0;                                 ///< wall time of the round
  std::vector<std::pair<std::int64_t, Sample>> samples;  ///< first: index into Plan::cases
};

struct JournalContents {
  JournalHead head;
  std::vector<JournalRound> rounds;
  bool torn = false;             ///< a last line was cut off or half written, and is not among the rounds
  std::int64_t whole_bytes = 0;  ///< of the file, up to the end of the last whole line
};

/// The journal of an output folder.
std::string journal_path(const std::string& folder);

/// Every whole line of a journal; a last line that is cut off or not whole is left out. Takes no lock.
/// Errors: IoError when it cannot be read; ConfigError naming the line when it is of another schema, has no whole first
/// line, or a line before the last is broken.
JournalContents read_journal(const std::string& path);

/// Errors: ConfigError when a JournalWriter of another process (or of this one) has the journal of `folder` open.
/// None when there is no journal.
void refuse_when_in_use(const std::string& folder);

/// Removes the journal of `folder`. Errors: none; what cannot be removed stays.
void remove_journal(const std::string& folder) noexcept;

/// Writes a journal. Holds an exclusive lock on it for as long as it lives.
class JournalWriter {
 public:
  /// A new journal in `folder`, which must exist. Errors: IoError; ConfigError when an unfinished run is there or
  /// another process is at it. After an error nothing new is in the folder.
  static JournalWriter create(const std::string& folder, const JournalHead& head);

  /// Goes on with the journal of which `contents` were read; a torn last line is cut off. Errors: IoError; ConfigError
  /// when another process is at it, or when it has changed since it was read.
  static JournalWriter reopen(const std::string& folder, const JournalContents& contents);

  JournalWriter(JournalWriter&& other) noexcept;
  JournalWriter& operator=(JournalWriter&& other) noexcept;
  ~JournalWriter();

  /// Another head, before the first round: what the session of the engine was asked has changed the plan.
  /// Errors: IoError.
  void replace_head(const JournalHead& head);
  /// One line, on the disk when this returns. Errors: IoError; the file is then cut back to its last whole line as far
  /// as that is possible, and append() may be tried again.
  void append(const JournalRound& round);

 private:
  JournalWriter(std::string path, int descriptor, std::int64_t end);
  void write(const std::string& line);

  std::string path_;
  int descriptor_ = -1;
  std::int64_t end_ = 0;  ///< bytes of whole lines
};

}  // namespace kvcast::journal
