#include "traffic/summary.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <utility>

#include "base/random.h"

namespace kvcast::traffic {

std::size_t ValueHistogram::bucket(std::int64_t value) noexcept {
  const auto v = static_cast<std::uint64_t>(value);
  const int shift = std::max(0, static_cast<int>(std::bit_width(v)) - kBits - 1);
  return (static_cast<std::size_t>(shift) << kBits) + static_cast<std::size_t>(v >> shift);
}

void ValueHistogram::add(std::int64_t value) noexcept {
  assert(value >= 0);
  ++counts_[bucket(value)];
  ++count_;
  sum_ += static_cast<double>(value);
  max_ = std::max(max_, value);
}

double ValueHistogram::quantile(double share) const noexcept {
  // A little less, for 0.07 * 100 is more than 7 by a rounding error.
  const double exact = share * static_cast<double>(count_) * (1 - 1e-15);
  const auto rank = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(exact)));
  std::int64_t below = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    below += counts_[i];
    if (below < rank) continue;
    // Buckets of shift s hold 2^s values; those of shift 0 and 1 begin where the formula of bucket() says.
    const int shift = std::max(0, static_cast<int>(i >> kBits) - 1);
    const double low = std::ldexp(static_cast<double>(i - (static_cast<std::size_t>(shift) << kBits)), shift);
    return std::min(static_cast<double>(max_), low + std::floor((std::ldexp(1, shift) - 1) / 2));
  }
  return 0;
}

WorkloadColumn ValueHistogram::column(const std::string& name, const std::string& unit, double scale) const {
  return {name,
          unit,
          mean() * scale,
          quantile(0.5) * scale,
          quantile(0.95) * scale,
          quantile(0.99) * scale,
          static_cast<double>(max_) * scale};
}

UserCounts::UserCounts(std::size_t most) : slots_(64), most_(most) { assert(std::has_single_bit(most)); }

UserCounts::Slot& UserCounts::slot(std::uint64_t user, std::uint64_t hash) noexcept {
  // The low bits: the high ones are those that the sample is chosen by.
  std::size_t at = hash & (slots_.size() - 1);
  while (slots_[at].requests != 0 && slots_[at].user != user) at = (at + 1) & (slots_.size() - 1);
  return slots_[at];
}

void UserCounts::rebuild(std::size_t slots) {
  std::vector<Slot> old(slots);
  std::swap(old, slots_);
  size_ = 0;
  for (const Slot& kept : old) {
    const std::uint64_t hash = mix64(kept.user);
    if (kept.requests == 0 || !sampled(hash)) continue;
    slot(kept.user, hash) = kept;
    ++size_;
  }
}

void UserCounts::add(std::uint64_t user) {
  const std::uint64_t hash = mix64(user);
  if (!sampled(hash)) return;
  Slot& found = slot(user, hash);
  const bool fresh = found.requests++ == 0;
  if (!fresh) return;
  found.user = user;
  if (++size_ > most_) {
    ++depth_;
    rebuild(slots_.size());
  } else if (2 * size_ > slots_.size()) {
    rebuild(2 * slots_.size());
  }
}

std::int64_t UserCounts::users() const noexcept { return static_cast<std::int64_t>(size_) << depth_; }

ValueHistogram UserCounts::requests_per_user() const {
  ValueHistogram histogram;
  for (const Slot& kept : slots_) {
    if (kept.requests > 0) histogram.add(kept.requests);
  }
  return histogram;
}

}  // namespace kvcast::traffic
