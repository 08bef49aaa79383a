#include "analysis/compare.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <utility>

#include "analysis/composition.h"
#include "analysis/fit.h"
#include "statistics/statistics.h"

namespace kvcast::analysis {
namespace {

/// As uncertain as another run would find it, not only another round of this one.
TrimmedMean of_run(std::vector<double> logs) {
  const double stretch = std::sqrt(run_inflation(static_cast<double>(logs.size())));
  TrimmedMean result = trimmed_mean(std::move(logs));
  if (result.standard_error) *result.standard_error *= stretch;
  return result;
}

/// Of the report or, in a merged one, of the case itself.
const std::optional<MachineInfo>& machine_of(const Report& report, const Case& one) {
  return one.machine ? one.machine : report.machine;
}

std::optional<CaseShape> key_of(const Case& one, bool any_machine) {
  std::optional<CaseShape> key = one.shape;
  if (key && any_machine) key->threads = 0;
  return key;
}

const Case* find_case(const Report& report, const std::optional<CaseShape>& key, bool any_machine) {
  const auto found = std::find_if(report.cases.begin(), report.cases.end(),
                                  [&](const Case& one) { return key_of(one, any_machine) == key; });
  return found == report.cases.end() ? nullptr : &*found;
}

/// One case of one side.
class Side {
 public:
  Side(const Report& report, const Case* one) : one_(one) {
    if (one == nullptr) return;
    table_ = tabulate(one->samples);
    if (const auto& machine = machine_of(report, *one); machine && machine->peak_gflops) {
      if (const double peak = *machine->peak_gflops; std::isfinite(peak) && peak > 0) log_peak_ = std::log(peak);
    }
  }

  const Case* one() const { return one_; }
  const std::optional<double>& log_peak() const { return log_peak_; }
  bool has(std::int64_t candidates, const std::string& scheme) const { return timings(candidates, scheme) != nullptr; }
  /// nullptr without.
  const std::vector<Timing>* timings(std::int64_t candidates, const std::string& scheme) const {
    return find_timings(table_, scheme, candidates);
  }

  /// Of the logs of seconds.
  TrimmedMean time(std::int64_t candidates, const std::string& scheme) const {
    std::vector<double> logs;
    for (const Timing& timing : *timings(candidates, scheme)) logs.push_back(std::log(timing.seconds));
    return of_run(std::move(logs));
  }

  /// Of the logs of the speed-ups; nullopt without a pair.
  std::optional<TrimmedMean> speedup(std::int64_t candidates, const std::string& scheme) const {
    const auto* naive = timings(candidates, kBaseline);
    if (naive == nullptr) return std::nullopt;
    std::vector<double> logs;
    for (const TimingPair& pair : pair_rounds(*naive, *timings(candidates, scheme)).pairs) {
      logs.push_back(std::log(pair.ratio()));
    }
    if (logs.empty()) return std::nullopt;
    return of_run(std::move(logs));
  }

  /// (N, scheme) with a time, in the order of the case's points.
  std::vector<std::pair<std::int64_t, std::string>> keys() const {
    std::vector<std::pair<std::int64_t, std::string>> result;
    if (one_ == nullptr) return result;
    for (const Point& point : one_->points) {
      for (const SchemePoint& scheme : point.schemes) {
        if (has(point.candidates, scheme.scheme)) result.emplace_back(point.candidates, scheme.scheme);
      }
    }
    return result;
  }

 private:
  const Case* one_;
  TimingTable table_;
  std::optional<double> log_peak_;
};

/// exp(b - a) with its interval; `shift` is added to the difference of the logs.
Estimate ratio(const TrimmedMean& a, const TrimmedMean& b, double shift) {
  const double centre = b.mean - a.mean + shift;
  Estimate estimate{std::exp(centre), std::nullopt};
  if (!a.standard_error || !b.standard_error) return estimate;
  const double of_a = *a.standard_error * *a.standard_error, of_b = *b.standard_error * *b.standard_error;
  double half = 0;
  if (of_a + of_b > 0) {
    const double degrees = (of_a + of_b) * (of_a + of_b) / (of_a * of_a / a.degrees + of_b * of_b / b.degrees);
    half = student_t_factor(0.95, degrees) * std::sqrt(of_a + of_b);
  }
  estimate.ci95 = Interval{std::exp(centre - half), std::exp(centre + half)};
  return estimate;
}

bool above(const std::optional<Estimate>& estimate, double threshold) {
  return estimate && estimate->value > 1 + threshold && estimate->ci95 && estimate->ci95->lo > 1;
}
bool below(const std::optional<Estimate>& estimate, double threshold) {
  return estimate && estimate->value < 1 / (1 + threshold) && estimate->ci95 && estimate->ci95->hi < 1;
}

/// What of two sides is set side by side.
struct Subject {
  std::int64_t candidates = 0;
  std::string in_a, in_b;  ///< schemes
  bool operator==(const Subject&) const = default;
};

/// Of two runs; the ratios only. both must have it.
ComparedPoint compared(const Side& a, const Side& b, const Subject& subject, bool one_clock) {
  ComparedPoint point;
  const std::int64_t n = subject.candidates;
  const TrimmedMean before = a.time(n, subject.in_a), after = b.time(n, subject.in_b);
  point.time_ratio = ratio(before, after, 0);
  if (one_clock && a.log_peak() && b.log_peak()) {
    point.normalised_ratio = ratio(before, after, *b.log_peak() - *a.log_peak());
  }
  if (subject.in_a == kBaseline || subject.in_b == kBaseline) return point;
  const auto gain_before = a.speedup(n, subject.in_a), gain_after = b.speedup(n, subject.in_b);
  if (gain_before && gain_after) point.speedup_ratio = ratio(*gain_before, *gain_after, 0);
  return point;
}

/// The point of a subject; `ratios` gives those of one that both have.
template <typename Ratios>
ComparedPoint point_of(const Side& a, const Side& b, const Subject& subject, const Ratios& ratios) {
  const bool in_a = a.has(subject.candidates, subject.in_a), in_b = b.has(subject.candidates, subject.in_b);
  ComparedPoint point;
  if (in_a && in_b) point = ratios();
  if (!in_a) point.missing_in = "A";
  if (!in_b) point.missing_in = "B";
  point.shape = (in_a ? a : b).one()->shape;
  point.candidates = subject.candidates;
  point.scheme = in_a ? subject.in_a : subject.in_b;
  return point;
}

void judge(ComparedPoint& point, double threshold) {
  const auto& time = point.normalised_ratio ? point.normalised_ratio : point.time_ratio;
  point.regression = above(time, threshold) || below(point.speedup_ratio, threshold);
  point.improvement = !point.regression && (below(time, threshold) || above(point.speedup_ratio, threshold));
}

/// Every (N, scheme) of both, A's first.
std::vector<Subject> subjects(const Side& a, const Side& b) {
  std::vector<Subject> result;
  for (const Side* side : {&a, &b}) {
    for (const auto& [candidates, scheme] : side->keys()) {
      const Subject subject{candidates, scheme, scheme};
      if (std::find(result.begin(), result.end(), subject) == result.end()) result.push_back(subject);
    }
  }
  return result;
}

/// Names in order of appearance.
std::vector<std::string> schemes_of(const Side& side) {
  std::vector<std::string> names;
  for (const auto& [candidates, scheme] : side.keys()) {
    if (std::find(names.begin(), names.end(), scheme) == names.end()) names.push_back(scheme);
  }
  return names;
}

/// Schemes of A beside others of B.
std::vector<std::pair<std::string, std::string>> scheme_pairs(const Side& a, const Side& b) {
  using Names = std::pair<std::string, std::string>;
  std::vector<Names> result;
  for (const std::string& in_a : schemes_of(a)) {
    for (const std::string& in_b : schemes_of(b)) {
      if (in_a == in_b || std::find(result.begin(), result.end(), Names(in_b, in_a)) != result.end()) continue;
      result.emplace_back(in_a, in_b);
    }
  }
  const auto naive = [](const Names& pair) { return pair.first == kBaseline || pair.second == kBaseline; };
  if (!std::all_of(result.begin(), result.end(), naive)) std::erase_if(result, naive);
  return result;
}

}  // namespace

std::vector<CasePair> same_shapes(const Report& a, const Report& b, bool any_machine) {
  std::vector<CasePair> pairs;
  for (const Case& one : a.cases) pairs.push_back({&one, find_case(b, key_of(one, any_machine), any_machine)});
  for (const Case& one : b.cases) {
    if (find_case(a, key_of(one, any_machine), any_machine) == nullptr) pairs.push_back({nullptr, &one});
  }
  return pairs;
}

std::vector<std::string> machine_differences(const Report& a, const Report& b, const std::vector<CasePair>& pairs) {
  std::vector<std::string> differences;
  const auto note = [&](const char* what, const std::string& in_a, const std::string& in_b) {
    if (in_a == in_b || in_a.empty() || in_b.empty()) return;
    const std::string words = std::string(what) + ": '" + in_a + "' in A, '" + in_b + "' in B";
    if (std::find(differences.begin(), differences.end(), words) == differences.end()) differences.push_back(words);
  };
  const auto text = [](const std::optional<std::int64_t>& value) { return value ? std::to_string(*value) : ""; };
  for (const CasePair& pair : pairs) {
    if (pair.a == nullptr || pair.b == nullptr) continue;
    const auto &in_a = machine_of(a, *pair.a), &in_b = machine_of(b, *pair.b);
    if (!in_a || !in_b) continue;
    note("CPU", in_a->cpu_model, in_b->cpu_model);
    note("SIMD target", in_a->isa, in_b->isa);
    note("instruction set of the dense library", in_a->dense_isa, in_b->dense_isa);
    note("CPUs", std::to_string(in_a->threads), std::to_string(in_b->threads));
    note("bytes of memory", text(in_a->memory_bytes), text(in_b->memory_bytes));
  }
  return differences;
}

Comparison compare(const Report& a, const Report& b, const std::vector<CasePair>& pairs, double threshold,
                   bool one_clock) {
  Comparison comparison;
  comparison.threshold = threshold;
  for (const CasePair& pair : pairs) {
    const Side before(a, pair.a), after(b, pair.b);
    for (const Subject& subject : subjects(before, after)) {
      ComparedPoint point =
          point_of(before, after, subject, [&] { return compared(before, after, subject, one_clock); });
      if (pair.in_a.empty()) judge(point, threshold);
      point.in_a = pair.in_a;
      point.in_b = pair.in_b;
      comparison.regression = comparison.regression || point.regression;
      comparison.points.push_back(std::move(point));
    }
  }
  return comparison;
}

Comparison compare_schemes(const Report& a, const Report& b, const std::vector<CasePair>& pairs) {
  Comparison comparison;
  for (const CasePair& pair : pairs) {
    if (pair.a == nullptr || pair.b == nullptr) continue;
    const Side before(a, pair.a), after(b, pair.b);
    for (const auto& [in_a, in_b] : scheme_pairs(before, after)) {
      std::set<std::int64_t> counts;
      for (const Side* side : {&before, &after}) {
        for (const auto& [candidates, scheme] : side->keys()) {
          if (scheme == (side == &before ? in_a : in_b)) counts.insert(candidates);
        }
      }
      for (const std::int64_t n : counts) {
        const Subject subject{n, in_a, in_b};
        ComparedPoint point = point_of(before, after, subject, [&, own = in_a, other = in_b] {
          ComparedPoint ratios = compared(before, after, subject, true);
          if (&a != &b) return ratios;
          ratios.normalised_ratio.reset();
          const auto paired = paired_ratio(after.timings(n, other), before.timings(n, own));
          if (paired) ratios.time_ratio = paired;
          return ratios;
        });
        point.in_a = in_a;
        point.in_b = in_b;
        comparison.points.push_back(std::move(point));
      }
    }
  }
  return comparison;
}

}  // namespace kvcast::analysis
