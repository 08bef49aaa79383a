#include "traffic/copies.h"

#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "base/text.h"
#include "kvcast/error.h"
#include "traffic/distribution.h"

namespace kvcast::traffic {
namespace {

// Fractional parts of multiples of it are spread evenly, however many there are.
constexpr double kGoldenRatio = 0.6180339887498949;

}  // namespace

Copies copies_for(const Log& log, double requests_per_s) {
  const double own = log.requests_per_s();
  if (!(own > 0)) {
    throw ConfigError("--qps", "all rows of " + log.file() + " have the same timestamp: it has no rate",
                      "leave --qps out to use the rows unchanged");
  }
  const double copies = requests_per_s / own;
  if (!(copies <= static_cast<double>(kMaxCopies))) {
    throw ConfigError("--qps",
                      format_double(requests_per_s) + "/s needs " + format_significant(copies, 3) + " copies of " +
                          log.file() + " (" + format_significant(own, 3) + "/s)",
                      "at most " + std::to_string(kMaxCopies));
  }
  // The quotient of a rate and itself may be a rounding error away from 1.
  const double nearest = std::round(copies);
  if (nearest >= 1 && std::fabs(copies - nearest) < 1e-9 * nearest) return {static_cast<std::int64_t>(nearest), 0};
  return {static_cast<std::int64_t>(copies), copies - std::floor(copies)};
}

CopyReader::CopyReader(const Log& log, const Copies& copies, Keep keep, std::uint64_t key)
    : log_(&log), rows_(log.rows()), keep_(keep), key_(key), whole_(copies.whole), part_(copies.part) {
  const auto all = static_cast<std::size_t>(copies.whole + (copies.part > 0 ? 1 : 0));
  const double rotation = open_unit(mix64(key_));
  copies_.resize(all);
  heap_.reserve(all);
  for (std::size_t i = 0; i < all; ++i) {
    Copy& copy = copies_[i];
    if (i > 0) {
      const double share = rotation + kGoldenRatio * static_cast<double>(i);
      copy.shift_s = (share - std::floor(share)) * log.period_s();
      const auto at = std::partition_point(rows_.begin(), rows_.end(), [&](const LogRow& row) {
        return log.since_first_s(static_cast<std::size_t>(&row - rows_.data())) < copy.shift_s;
      });
      copy.first = static_cast<std::size_t>(at - rows_.begin());
    }
    Turn turn{0, static_cast<std::uint32_t>(i)};
    if (advance(turn)) heap_.push_back(turn);
  }
  std::make_heap(heap_.begin(), heap_.end(), [](const Turn& a, const Turn& b) { return b < a; });
}

std::int64_t CopyReader::count() const {
  std::int64_t part = 0;
  for (std::size_t row = 0; part_ > 0 && row < rows_.size(); ++row) part += kept(row) ? 1 : 0;
  return whole_ * log_->size() + part;
}

// The row that is taken[-1] of the copy: it goes round at the end of the log.
std::size_t CopyReader::row_of(const Copy& copy) const noexcept {
  const std::size_t at = copy.first + copy.taken - 1;
  return at < rows_.size() ? at : at - rows_.size();
}

// Of the copy that is a part.
bool CopyReader::kept(std::size_t row) const noexcept {
  const std::uint64_t who = keep_ == Keep::users ? rows_[row].user : static_cast<std::uint64_t>(row);
  return open_unit(mix64(who ^ mix64(key_ + 1))) < part_;
}

// To the copy's next row that is kept.
bool CopyReader::advance(Turn& turn) {
  Copy& copy = copies_[turn.copy];
  while (copy.taken < rows_.size()) {
    ++copy.taken;
    copy.turned = copy.first + copy.taken > rows_.size();
    const std::size_t row = row_of(copy);
    if (turn.copy >= whole_ && !kept(row)) continue;
    turn.arrival_s = log_->since_first_s(row) - copy.shift_s + (copy.turned ? log_->period_s() : 0);
    return true;
  }
  return false;
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
  const std::size_t at = row_of(copy);
  const LogRow& from = rows_[at];
  const std::uint64_t salt = 2 * std::uint64_t{i} + (copy.turned ? 1 : 0);
  row.arrival_s = turn.arrival_s;
  row.user = salt == 0 ? from.user : mix64(from.user ^ mix64(salt));
  row.history = from.history;
  row.candidates = from.candidates;
  row.id = mix64(i) + static_cast<std::uint64_t>(at);
  if (!advance(turn)) {
    turn = heap_.back();
    heap_.pop_back();
  }
  sink();
  return true;
}

}  // namespace kvcast::traffic
