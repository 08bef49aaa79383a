// A trace at another rate: more users, never a faster clock, which would bring the requests of a user closer together.
#pragma once

#include <cstdint>
#include <vector>

#include "traffic/trace.h"

namespace kvcast::traffic {

/// Each has a reader of its own.
inline constexpr std::int64_t kMostCopies = 65536;

/// How many copies of a trace have a rate.
struct Copies {
  std::int64_t whole = 1;
  double part = 0;  ///< share of the users of one copy more
};
/// Errors: ConfigError naming --qps when the trace has no rate, or it would take more than kMostCopies.
Copies copies_for(const Trace& trace, double requests_per_s);

struct CopiedRow {
  double arrival_s = 0;  ///< since the beginning of the trace
  std::uint64_t user = 0;
  std::int64_t history = 0, candidates = 0;
  std::uint64_t id = 0;  ///< of copy and row, the same however many copies there are
};

/// The rows of all copies in order of time, for one period of the trace; ties in order of the copies. The first copy is
/// the trace as it is. Each other starts somewhere inside the trace, goes round at its end, and has users of its own;
/// those behind the turn are others than those before it, for a history would go backwards. More copies only add rows.
class CopyReader {
 public:
  /// What the last, partial copy keeps a share of: users are kept whole.
  enum class Keep { users, rows };

  /// The trace must outlive the reader. Errors: IoError.
  CopyReader(const Trace& trace, const Copies& copies, Keep keep, std::uint64_t key);

  /// False at the end. Errors: as TraceReader.
  bool next(CopiedRow& row);

 private:
  struct Copy {
    TraceReader reader;
    double shift_ms = 0;
    bool turned = false;
    TraceRow row;
  };
  // A copy's next row, in the heap: times apart from the copies, which are too large to be in a cache together.
  struct Turn {
    double arrival_ms;
    std::uint32_t copy;
    bool operator<(const Turn& other) const noexcept {
      return arrival_ms < other.arrival_ms || (arrival_ms == other.arrival_ms && copy < other.copy);
    }
  };
  bool advance(Turn& turn);
  void sink() noexcept;

  const Trace* trace_;
  TraceFile file_;
  Keep keep_;
  std::uint64_t key_;
  std::int64_t whole_;
  double part_;
  std::vector<Copy> copies_;
  std::vector<Turn> heap_;  // of the copies that have a row, the earliest first
};

}  // namespace kvcast::traffic
