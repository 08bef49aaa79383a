#include "analysis/compare.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "analysis/composition.h"
#include "analysis/fit.h"
#include "analysis/statistics.h"

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

std::optional<Shape> key_of(const Case& one, bool any_machine) {
  std::optional<Shape> key = one.shape;
  if (key && any_machine) key->threads = 0;
  return key;
}

const Case* find_case(const Report& report, const std::optional<Shape>& key, bool any_machine) {
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

 private:
  const std::vector<Timing>* timings(std::int64_t candidates, const std::string& scheme) const {
    const auto points = table_.find(scheme);
    if (points == table_.end()) return nullptr;
    const auto point = points->second.find(candidates);
    return point == points->second.end() ? nullptr : &prevailing(point->second);
  }

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

ComparedPoint compared(const Side& a, const Side& b, std::int64_t candidates, const std::string& scheme,
                       double threshold) {
  ComparedPoint point;
  point.shape = (a.one() != nullptr ? a : b).one()->shape;
  point.candidates = candidates;
  point.scheme = scheme;
  if (!a.has(candidates, scheme)) point.missing_in = "A";
  if (!b.has(candidates, scheme)) point.missing_in = "B";
  if (!point.missing_in.empty()) return point;

  const TrimmedMean before = a.time(candidates, scheme), after = b.time(candidates, scheme);
  point.time_ratio = ratio(before, after, 0);
  if (a.log_peak() && b.log_peak()) point.normalised_ratio = ratio(before, after, *b.log_peak() - *a.log_peak());
  if (scheme != kBaseline) {
    const auto gain_before = a.speedup(candidates, scheme), gain_after = b.speedup(candidates, scheme);
    if (gain_before && gain_after) point.speedup_ratio = ratio(*gain_before, *gain_after, 0);
  }
  const auto& time = point.normalised_ratio ? point.normalised_ratio : point.time_ratio;
  point.regression = above(time, threshold) || below(point.speedup_ratio, threshold);
  point.improvement = !point.regression && (below(time, threshold) || above(point.speedup_ratio, threshold));
  return point;
}

/// (N, scheme) of the points of both that have a time, A's first.
std::vector<std::pair<std::int64_t, std::string>> keys(const Side& a, const Side& b) {
  std::vector<std::pair<std::int64_t, std::string>> result;
  for (const Side* side : {&a, &b}) {
    if (side->one() == nullptr) continue;
    for (const Point& point : side->one()->points) {
      for (const SchemePoint& scheme : point.schemes) {
        const std::pair key(point.candidates, scheme.scheme);
        if (!a.has(key.first, key.second) && !b.has(key.first, key.second)) continue;
        if (std::find(result.begin(), result.end(), key) == result.end()) result.push_back(key);
      }
    }
  }
  return result;
}

}  // namespace

std::vector<std::string> machine_differences(const Report& a, const Report& b) {
  std::vector<std::string> differences;
  const auto note = [&](const char* what, const std::string& in_a, const std::string& in_b) {
    if (in_a == in_b || in_a.empty() || in_b.empty()) return;
    const std::string words = std::string(what) + ": '" + in_a + "' in A, '" + in_b + "' in B";
    if (std::find(differences.begin(), differences.end(), words) == differences.end()) differences.push_back(words);
  };
  const auto text = [](const std::optional<std::int64_t>& value) { return value ? std::to_string(*value) : ""; };
  for (const Case& one : a.cases) {
    const Case* other = find_case(b, key_of(one, true), true);
    if (other == nullptr) continue;
    const auto &in_a = machine_of(a, one), &in_b = machine_of(b, *other);
    if (!in_a || !in_b) continue;
    note("CPU", in_a->cpu_model, in_b->cpu_model);
    note("SIMD target", in_a->isa, in_b->isa);
    note("instruction set of the dense library", in_a->dense_isa, in_b->dense_isa);
    note("CPUs", std::to_string(in_a->threads), std::to_string(in_b->threads));
    note("bytes of memory", text(in_a->memory_bytes), text(in_b->memory_bytes));
  }
  return differences;
}

Comparison compare(const Report& a, const Report& b, double threshold, bool any_machine) {
  Comparison comparison;
  comparison.threshold = threshold;
  const auto add = [&](const Case* in_a, const Case* in_b) {
    const Side before(a, in_a), after(b, in_b);
    for (const auto& [candidates, scheme] : keys(before, after)) {
      comparison.points.push_back(compared(before, after, candidates, scheme, threshold));
    }
  };
  for (const Case& one : a.cases) add(&one, find_case(b, key_of(one, any_machine), any_machine));
  for (const Case& one : b.cases) {
    if (find_case(a, key_of(one, any_machine), any_machine) == nullptr) add(nullptr, &one);
  }
  comparison.regression = std::any_of(comparison.points.begin(), comparison.points.end(),
                                      [](const ComparedPoint& point) { return point.regression; });
  return comparison;
}

}  // namespace kvcast::analysis
