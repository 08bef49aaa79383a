#include "traffic/spells.h"

#include <algorithm>

namespace kvcast::traffic {

Spells::Spells() : sums_(Buckets::kCount), here_(Buckets::kCount), least_(Buckets::kCount) {}

void Spells::add(double seconds) noexcept {
  const std::size_t bucket = Buckets::index(seconds);
  ++here_[bucket];
  least_ = std::min(least_, bucket);
  most_ = std::max(most_, bucket);
}

void Spells::end() noexcept {
  if (least_ == Buckets::kCount) return;
  sums_[most_].spells += 1;
  double beyond = 0;
  for (std::size_t i = most_ + 1; i-- > least_;) {
    if (here_[i] == 0) continue;
    const auto here = static_cast<double>(here_[i]);
    sums_[i].requests += here;
    sums_[i].squares += (2 * beyond + here) * here;
    beyond += here;
    here_[i] = 0;
  }
  least_ = Buckets::kCount;
  most_ = 0;
}

void Spells::add(const Spells& other) noexcept {
  for (std::size_t i = 0; i < Buckets::kCount; ++i) {
    sums_[i].requests += other.sums_[i].requests;
    sums_[i].spells += other.sums_[i].spells;
    sums_[i].squares += other.sums_[i].squares;
  }
}

double Spells::requests_per_event(double seconds) const noexcept {
  const std::size_t at = Buckets::index(seconds);
  Sums beyond;
  const auto add = [&](const Sums& sums, double part) {
    beyond.requests += part * sums.requests;
    beyond.spells += part * sums.spells;
    beyond.squares += part * sums.squares;
  };
  for (std::size_t i = at + 1; i < Buckets::kCount; ++i) add(sums_[i], 1);
  // Times of no length, of requests that do not wait, are not beyond one.
  if (at > 0 && at + 1 < Buckets::kCount) {
    const double from = Buckets::floor_of(at), to = Buckets::floor_of(at + 1);
    add(sums_[at], (to - seconds) / (to - from));
  }
  if (!(beyond.requests > 0)) return 1;
  const double each = std::max(1.0, beyond.requests / std::max(1.0, beyond.spells));
  return std::max({1.0, beyond.squares / beyond.requests, each * 4 - 3});
}

}  // namespace kvcast::traffic
