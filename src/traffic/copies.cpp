#include "traffic/copies.h"

#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "base/text.h"
#include "kvcast/error.h"
#include "traffic/distribution.h"

namespace kvcast::traffic {
namespace {

// Blocks of all copies together, but each has at least the least.
constexpr std::size_t kAllBlocksBytes = std::size_t{1} << 24;
constexpr std::size_t kLeastBlockBytes = 4096;
// Fractional parts of multiples of it are spread evenly, however many there are.
constexpr double kGoldenRatio = 0.6180339887498949;

}  // namespace

Copies copies_for(const Trace& trace, double requests_per_s) {
  const double own = trace.requests_per_s();
  if (!(own > 0)) {
    throw ConfigError("--qps", "all rows of " + trace.format.file + " have the same timestamp_ms: it has no rate",
                      "leave --qps out to take the rows as they are");
  }
  const double copies = requests_per_s / own;
  if (!(copies <= static_cast<double>(kMostCopies))) {
    throw ConfigError("--qps",
                      format_double(requests_per_s) + "/s takes " + format_significant(copies, 3) + " copies of " +
                          trace.format.file + " (" + format_significant(own, 3) + "/s)",
                      "at most " + std::to_string(kMostCopies));
  }
  // The quotient of a rate and itself may be a rounding error away from 1.
  const double nearest = std::round(copies);
  if (nearest >= 1 && std::fabs(copies - nearest) < 1e-9 * nearest) return {static_cast<std::int64_t>(nearest), 0};
  return {static_cast<std::int64_t>(copies), copies - std::floor(copies)};
}

CopyReader::CopyReader(const Trace& trace, const Copies& copies, Keep keep, std::uint64_t key)
    : trace_(&trace), file_(trace.format), keep_(keep), key_(key), whole_(copies.whole), part_(copies.part) {
  check_unchanged(trace.format, file_);
  const auto all = static_cast<std::size_t>(copies.whole + (copies.part > 0 ? 1 : 0));
  const std::size_t block = std::clamp(kAllBlocksBytes / std::max<std::size_t>(all, 1), kLeastBlockBytes, kReadBytes);
  const double rotation = open_unit(mix64(key_));
  copies_.reserve(all);
  for (std::size_t i = 0; i < all; ++i) {
    copies_.push_back({TraceReader(trace.format, file_, block), 0, false, {}});
    if (i > 0) {
      const double share = rotation + kGoldenRatio * static_cast<double>(i);
      copies_[i].shift_ms = (share - std::floor(share)) * trace.period_ms();
      copies_[i].reader.seek(trace.mark_before(copies_[i].shift_ms));
    }
    Turn turn{0, static_cast<std::uint32_t>(i)};
    if (advance(turn)) heap_.push_back(turn);
  }
  std::make_heap(heap_.begin(), heap_.end(), [](const Turn& a, const Turn& b) { return b < a; });
}

// To the copy's next row that is kept.
bool CopyReader::advance(Turn& turn) {
  Copy& copy = copies_[turn.copy];
  for (;;) {
    if (!copy.reader.next(copy.row)) {
      if (copy.turned || copy.shift_ms == 0) return false;
      copy.turned = true;
      copy.reader.seek(trace_->marks.front());
      continue;
    }
    const double since_ms = copy.row.timestamp_ms - trace_->first_ms;
    if (!copy.turned && since_ms < copy.shift_ms) continue;
    if (copy.turned && since_ms >= copy.shift_ms) return false;
    if (turn.copy >= whole_) {
      const std::uint64_t who = keep_ == Keep::users ? copy.row.user : static_cast<std::uint64_t>(copy.row.number);
      if (open_unit(mix64(who ^ mix64(key_ + 1))) >= part_) continue;
    }
    turn.arrival_ms = since_ms - copy.shift_ms + (copy.turned ? trace_->period_ms() : 0);
    return true;
  }
}

// Puts the first of the heap where it belongs.
void CopyReader::sink() noexcept {
  const std::size_t size = heap_.size();
  for (std::size_t at = 0;;) {
    std::size_t child = 2 * at + 1;
    if (child >= size) return;
    if (child + 1 < size && heap_[child + 1] < heap_[child]) ++child;
    if (!(heap_[child] < heap_[at])) return;
    std::swap(heap_[child], heap_[at]);
    at = child;
  }
}

bool CopyReader::next(CopiedRow& row) {
  if (heap_.empty()) return false;
  Turn& turn = heap_.front();
  const std::uint32_t i = turn.copy;
  const Copy& copy = copies_[i];
  const std::uint64_t salt = 2 * std::uint64_t{i} + (copy.turned ? 1 : 0);
  row.arrival_s = turn.arrival_ms / 1000;
  row.user = salt == 0 ? copy.row.user : mix64(copy.row.user ^ mix64(salt));
  row.history = copy.row.history;
  row.candidates = copy.row.candidates;
  row.id = mix64(i) + static_cast<std::uint64_t>(copy.row.number);
  if (!advance(turn)) {
    turn = heap_.back();
    heap_.pop_back();
  }
  sink();
  return true;
}

}  // namespace kvcast::traffic
