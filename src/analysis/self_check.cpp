#include "analysis/self_check.h"

#include <cmath>
#include <map>

#include "analysis/composition.h"
#include "statistics/statistics.h"

namespace kvcast::analysis {

std::vector<SelfCheck> self_check(const TimingTable& table) {
  std::vector<SelfCheck> checks;
  std::vector<std::vector<double>> ratios;  // of each row
  for (const auto& [id, points] : table) {
    const auto again = table.find({id.scheme, id.with_head, true});
    if (id.again || again == table.end()) continue;
    SelfCheck all;
    all.scheme = id.text();
    const std::size_t row = checks.size();
    checks.push_back(all);
    ratios.emplace_back();
    std::map<std::int64_t, std::vector<double>> by_round;  // log ratios
    for (const auto& [candidates, timings] : points) {
      const auto second = again->second.find(candidates);
      if (second == again->second.end()) continue;
      SelfCheck one;
      one.scheme = id.text();
      one.candidates = candidates;
      std::vector<double> values;
      for (const TimingPair& pair : pair_rounds(prevailing(second->second), prevailing(timings)).pairs) {
        values.push_back(pair.ratio());
        by_round[pair.round].push_back(std::log(pair.ratio()));
      }
      if (values.empty()) continue;
      checks.push_back(one);
      ratios.push_back(std::move(values));
    }
    for (const auto& [round, logs] : by_round) ratios[row].push_back(std::exp(mean(logs)));
    if (by_round.empty()) {
      checks.pop_back();
      ratios.pop_back();
    }
  }
  for (std::size_t i = 0; i < checks.size(); ++i) {
    checks[i].ratio = trimmed_ratio(ratios[i]);
    checks[i].simultaneous = trimmed_ratio(ratios[i], 1 - 0.05 / static_cast<double>(checks.size())).ci95;
    const auto& interval = checks[i].simultaneous;
    checks[i].contains_one = interval && interval->lo <= 1 && 1 <= interval->hi;
  }
  return checks;
}

}  // namespace kvcast::analysis
