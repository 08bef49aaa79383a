// A trace at another rate: more users, never a faster clock, which would bring the requests of a user closer together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "traffic/log.h"

namespace kvcast::traffic {

/// Each has a place of its own in the log.
inline constexpr std::int64_t kMaxCopies = 65536;

/// How many copies of a trace have a rate.
struct Copies {
  std::int64_t whole = 1;
  double part = 0;  ///< share of the users of one copy more
};
/// Errors: ConfigError naming --qps when the trace has no rate, or it would take more than kMaxCopies.
Copies copies_for(const Log& log, double requests_per_s);

struct CopiedRow {
  double arrival_s = 0;  ///< since the beginning of the log
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

  /// The log must outlive the reader.
  CopyReader(const Log& log, const Copies& copies, Keep keep, std::uint64_t key);

  /// False at the end.
  bool next(CopiedRow& row);
  /// How many rows there are in all, without going through the copies.
  std::int64_t count() const;

 private:
  struct Copy {
    double shift_s = 0;
    std::size_t first = 0, taken = 0;  // rows: where it begins, how many are behind it
    bool turned = false;
  };
  // A copy's next row, in the heap.
  struct Turn {
    double arrival_s;
    std::uint32_t copy;
    bool operator<(const Turn& other) const noexcept {
      return arrival_s < other.arrival_s || (arrival_s == other.arrival_s && copy < other.copy);
    }
  };
  std::size_t row_of(const Copy& copy) const noexcept;
  bool kept(std::size_t row) const noexcept;
  bool advance(Turn& turn);
  void sink() noexcept;

  const Log* log_;
  std::span<const LogRow> rows_;
  Keep keep_;
  std::uint64_t key_;
  std::int64_t whole_;
  double part_;
  std::vector<Copy> copies_;
  std::vector<Turn> heap_;  // of the copies that have a row, the earliest first
};

}  // namespace kvcast::traffic
