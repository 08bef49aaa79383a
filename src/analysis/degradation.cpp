#include "analysis/degradation.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "analysis/composition.h"
#include "kvcast/cost_model.h"

namespace kvcast::analysis {
namespace {

/// 1 - 1/ratio, which rises with it.
Estimate drop_of(const Estimate& with_over_head) {
  Estimate drop{1 - 1 / with_over_head.value, std::nullopt};
  if (const auto& ends = with_over_head.ci95) drop.ci95 = Interval{1 - 1 / ends->lo, 1 - 1 / ends->hi};
  return drop;
}

}  // namespace

std::vector<Degradation> degradation(const TimingTable& table, const std::vector<std::string>& schemes) {
  std::vector<Degradation> rows;
  const auto head = table.find(TimingId::head());
  if (head == table.end()) return rows;
  for (const auto& [candidates, point] : head->second) {
    const std::vector<Timing>& alone = prevailing(point);
    const auto with_over_head = [&, n = candidates](const std::string& scheme) {
      return paired_ratio(find_timings(table, {scheme, true, false}, n), &alone);
    };
    const std::optional<Estimate> naive = with_over_head(kBaseline);
    for (const std::string& scheme : schemes) {
      const std::optional<Estimate> own = with_over_head(scheme);
      if (!own) continue;
      const std::vector<Timing>& with = *find_timings(table, {scheme, true, false}, candidates);
      Degradation row;
      row.candidates = candidates;
      row.scheme = scheme;
      row.status = status_of(with);
      row.head_s = median_seconds(alone);
      row.with_s = median_seconds(with);
      row.drop = drop_of(*own);
      const std::optional<Estimate> speedup =
          paired_ratio(find_timings(table, kBaseline, candidates), find_timings(table, scheme, candidates));
      if (scheme != kBaseline && naive && speedup) {
        row.drop_design_note = drop_design_note(drop_of(*naive).value, speedup->value);
        row.drop_exact = drop_exact(drop_of(*naive).value, speedup->value);
      }
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

}  // namespace kvcast::analysis
