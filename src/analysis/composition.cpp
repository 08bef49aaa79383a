#include "analysis/composition.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <tuple>
#include <utility>

#include "statistics/statistics.h"

namespace kvcast::analysis {
namespace {

bool usable(const Sample& sample) {
  // Also keeps NaN out of the ordering below, which needs a strict weak order.
  const auto finite = [](const std::optional<double>& seconds) { return !seconds || std::isfinite(*seconds); };
  return sample.status != Status::skipped && sample.candidates >= 1 && sample.measured_candidates >= 1 &&
         std::isfinite(sample.measured_seconds) && sample.measured_seconds > 0 && finite(sample.prefill_s) &&
         finite(sample.scoring_s) && std::isfinite(sample.canary_ratio) && seconds_for_all(sample) > 0;
}

auto sort_key(const Timing& timing) {
  return std::tie(timing.round, timing.seconds, timing.status, timing.measured_candidates, timing.prefill_s,
                  timing.scoring_s, timing.canary_ratio);
}

void order_by_round(std::vector<Timing>& timings) {
  // Over all fields, so that equal times of one round cannot leave a trace of the order they came in.
  std::sort(timings.begin(), timings.end(), [](const Timing& a, const Timing& b) { return sort_key(a) < sort_key(b); });
  std::vector<Timing> one_per_round;
  for (auto begin = timings.begin(); begin != timings.end();) {
    const auto end = std::find_if(begin, timings.end(), [&](const Timing& t) { return t.round != begin->round; });
    one_per_round.push_back(*(begin + (end - begin - 1) / 2));
    begin = end;
  }
  timings = std::move(one_per_round);
}

bool clean(const Timing& a, const Timing& b) {
  const auto [slower, faster] = std::minmax(a.canary_ratio, b.canary_ratio);
  return slower >= kCanaryFloor && slower >= kCanaryAgreement * faster;
}

/// Of the schemes themselves, as they are served.
TimingTable requests_of(TimingTable table) {
  std::erase_if(table, [](const auto& entry) { return entry.first.with_head || entry.first.alone; });
  return table;
}

}  // namespace

const std::vector<Timing>& prevailing(const PointTimings& point) {
  const bool whole_everywhere =
      std::all_of(point.assembled.begin(), point.assembled.end(), [&](const Timing& assembled) {
        return std::any_of(point.whole.begin(), point.whole.end(),
                           [&](const Timing& whole) { return whole.round == assembled.round; });
      });
  return whole_everywhere ? point.whole : point.assembled;
}

double seconds_for_all(const Sample& sample) {
  if (sample.measured_candidates == sample.candidates) return sample.measured_seconds;
  const double scale = static_cast<double>(sample.candidates) / static_cast<double>(sample.measured_candidates);
  if (sample.prefill_s && sample.scoring_s) return *sample.prefill_s + *sample.scoring_s * scale;
  return sample.measured_seconds * scale;
}

TimingTable tabulate(const std::vector<Sample>& samples) {
  TimingTable table;
  for (const Sample& sample : samples) {
    if (!usable(sample)) continue;
    PointTimings& point = table[sample.scheme][sample.candidates];
    std::vector<Timing>& timings = sample.status == Status::measured ? point.whole : point.assembled;
    timings.push_back({sample.round, seconds_for_all(sample), sample.status, sample.measured_candidates,
                       sample.prefill_s, sample.scoring_s, sample.canary_ratio});
  }
  for (auto& [scheme, points] : table) {
    for (auto& [candidates, point] : points) {
      order_by_round(point.whole);
      order_by_round(point.assembled);
    }
  }
  return table;
}

TimingPairs pair_rounds(const std::vector<Timing>& numerator, const std::vector<Timing>& denominator) {
  std::vector<TimingPair> all, clean_only;
  auto below = denominator.begin();
  for (const Timing& above : numerator) {
    while (below != denominator.end() && below->round < above.round) ++below;
    if (below == denominator.end() || below->round != above.round) continue;
    all.push_back({above.round, above.seconds, below->seconds});
    if (clean(above, *below)) clean_only.push_back(all.back());
  }
  if (static_cast<std::int64_t>(clean_only.size()) < kMinCleanPairs) return {std::move(all), 0};
  const auto excluded = static_cast<std::int64_t>(all.size() - clean_only.size());
  return {std::move(clean_only), excluded};
}

const std::vector<Timing>* find_timings(const TimingTable& table, const TimingId& id, std::int64_t candidates) {
  const auto points = table.find(id);
  if (points == table.end()) return nullptr;
  const auto point = points->second.find(candidates);
  return point == points->second.end() ? nullptr : &prevailing(point->second);
}

Status status_of(const std::vector<Timing>& timings) {
  const auto scaled = [](const Timing& timing) { return timing.status == Status::extrapolated; };
  return std::any_of(timings.begin(), timings.end(), scaled) ? Status::extrapolated : timings.front().status;
}

double median_seconds(const std::vector<Timing>& timings) {
  std::vector<double> seconds;
  for (const Timing& timing : timings) seconds.push_back(timing.seconds);
  return median(std::move(seconds));
}

std::optional<Estimate> paired_ratio(const std::vector<Timing>* numerator, const std::vector<Timing>* denominator) {
  if (numerator == nullptr || denominator == nullptr) return std::nullopt;
  std::vector<double> ratios;
  for (const TimingPair& pair : pair_rounds(*numerator, *denominator).pairs) ratios.push_back(pair.ratio());
  if (ratios.empty()) return std::nullopt;
  return ratio_of_run(std::move(ratios));
}

std::vector<Watched> watched_values(const TimingTable& all) {
  std::vector<Watched> points_seen;
  const TimingTable table = requests_of(all);
  const auto naive = table.find(kBaseline);
  const bool ratios = naive != table.end() && table.size() > 1;
  for (const auto& [scheme, points] : table) {
    if (ratios && scheme == kBaseline) continue;
    for (const auto& [candidates, timings] : points) {
      Watched values;
      if (ratios) {
        const auto base = naive->second.find(candidates);
        if (base == naive->second.end()) continue;
        for (const TimingPair& pair : pair_rounds(prevailing(base->second), prevailing(timings)).pairs) {
          values.emplace_back(pair.round, pair.ratio());
        }
      } else {
        for (const Timing& timing : prevailing(timings)) values.emplace_back(timing.round, timing.seconds);
      }
      points_seen.push_back(std::move(values));
    }
  }
  return points_seen;
}

std::vector<CompositionCheck> check_composition(const TimingTable& table, double precision) {
  constexpr double kConfidence = 0.99;  // one check per scheme and N: at 95% a run of many would cry wolf
  std::vector<CompositionCheck> checks;
  for (const auto& [id, points] : requests_of(table)) {
    for (const auto& [candidates, point] : points) {
      std::vector<double> ratios;
      for (const TimingPair& pair : pair_rounds(point.whole, point.assembled).pairs) ratios.push_back(pair.ratio());
      if (ratios.size() < 2) continue;
      const Interval interval = *trimmed_ratio(ratios, kConfidence).ci95;
      CompositionCheck check;
      check.scheme = id.text();
      check.candidates = candidates;
      check.ratio = trimmed_ratio(ratios);
      check.agrees = interval.lo <= 1 + precision && interval.hi >= 1 - precision;
      checks.push_back(std::move(check));
    }
  }
  return checks;
}

bool is_gross(const CompositionCheck& check) {
  constexpr double kGross = 0.10;
  const Interval ends = check.ratio.ci95.value_or(Interval{check.ratio.value, check.ratio.value});
  return !check.agrees && (ends.lo > 1 + kGross || ends.hi < 1 / (1 + kGross));
}

}  // namespace kvcast::analysis
