#include "analysis/service_model.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "analysis/composition.h"
#include "analysis/curve.h"
#include "analysis/forms/form.h"
#include "analysis/predict.h"
#include "kvcast/cost_model.h"
#include "statistics/statistics.h"

namespace kvcast::analysis {
namespace {

/// N at which half-widths are reported: every measured N with the N before it, so that each has its own; from the first
/// that anything is known of each about a quarter above the one before, up to 10^6 and no further than the reach.
std::vector<std::int64_t> counts_to_tell(const std::vector<std::int64_t>& measured, bool straight, std::int64_t reach) {
  const std::int64_t first = straight ? 1 : measured.front();
  const std::int64_t most = std::min<std::int64_t>(1'200'000, reach);
  std::set<std::int64_t> counts = {first, most};
  for (double n = 1; n < static_cast<double>(most); n = std::max(n + 1, 1.25 * n)) {
    if (const auto count = static_cast<std::int64_t>(n); count >= first) counts.insert(count);
  }
  for (const std::int64_t n : measured) {
    counts.insert(n);
    if (n > first) counts.insert(n - 1);
  }
  return {counts.begin(), counts.end()};
}

/// ln(line/time) at every N, by the line without that N.
std::vector<double> left_out_errors(const TimesByN& points, const Curve& curve) {
  std::vector<double> errors;
  for (const Curve::Anchor& anchor : curve.anchors()) {
    TimesByN others = points;
    others.erase(anchor.candidates);
    errors.push_back(std::log(time_line(others)->time(static_cast<double>(anchor.candidates)) / anchor.value));
  }
  return errors;
}

std::vector<double> residuals_of(const TimesByN& points, const Curve& curve) {
  std::vector<double> residuals;
  for (const auto& [candidates, point] : points) {
    for (const Timing& timing : prevailing(point)) residuals.push_back(timing.seconds / curve(candidates));
  }
  std::sort(residuals.begin(), residuals.end());
  return residuals;
}

/// Half-width of ln(time) that the rounds of this run leave for the next one; nullopt below two rounds.
std::optional<double> run_half(const TimesByN& points, const Curve& curve) {
  std::map<std::int64_t, std::vector<double>> rounds;
  for (const auto& [candidates, point] : points) {
    for (const Timing& timing : prevailing(point)) {
      rounds[timing.round].push_back(std::log(timing.seconds / curve(candidates)));
    }
  }
  std::vector<double> ratios;
  for (const auto& [round, logs] : rounds) ratios.push_back(std::exp(mean(logs)));
  const Estimate estimate = ratio_of_run(std::move(ratios));
  return estimate.ci95 ? std::optional(std::log(estimate.ci95->hi / estimate.value)) : std::nullopt;
}

/// ln of the upper end of the time at each measured N over its median.
std::map<std::int64_t, double> measured_half(const TimesByN& points, const Curve& curve) {
  std::map<std::int64_t, double> halves;
  for (const auto& [candidates, point] : points) {
    const Estimate estimate = seconds_of_run(point);
    if (estimate.ci95) halves[candidates] = std::max(0.0, std::log(estimate.ci95->hi / curve(candidates)));
  }
  return halves;
}

/// Fewest N that fit a line and say how far it is off.
constexpr std::size_t kLineCounts = 3;

Steps time_half(const TimesByN& points, const Curve& curve, const std::vector<std::int64_t>& counts) {
  const auto of_run = run_half(points, curve);
  const std::map<std::int64_t, double> measured = measured_half(points, curve);
  // With three N each error is that of a line through two.
  if (!of_run || measured.empty() || (curve.straight() && points.size() <= kLineCounts)) return {};
  std::vector<std::int64_t> known;
  for (const auto& [candidates, point] : points) known.push_back(candidates);
  const std::vector<double> errors = curve.straight() ? left_out_errors(points, curve) : std::vector<double>();
  Steps steps;
  double widest = 0;  // between measured N and beyond: a wider queue is never called better known than a narrower one
  for (const std::int64_t n : counts) {
    double half = 0;
    if (const auto own = measured.find(n); own != measured.end()) {
      half = own->second;
    } else if (curve.straight()) {
      half = widest = std::max(widest, std::hypot(*held_out_half_width(known, errors, n), *of_run));
    } else {
      // Up to the upper end of the next measured N: all that is known where nothing describes what lies between.
      const auto above = measured.lower_bound(n);
      if (above == measured.end()) break;
      half = std::max(0.0, std::log(curve(above->first) / curve(n))) + above->second;
    }
    steps.candidates.push_back(n);
    steps.values.push_back(half);
  }
  return steps;
}

/// The service time by a curve: a prefill, and candidates beyond it.
void set_curve(ServiceModel& service, const Curve& curve, const Line& line) {
  double least = line.history;
  for (const Curve::Anchor& anchor : curve.anchors()) {
    least = std::min(least, anchor.value);
    service.measured.push_back(anchor.candidates);
  }
  service.prefill_s = std::max(0.0, std::min(least, curve(1)));
  service.candidate_s = line.candidate;
  service.straight = curve.straight();
  service.candidates_s = [curve, user = service.prefill_s](std::int64_t n) { return std::max(0.0, curve(n) - user); };
}

ScalableInput input(const char* name, const char* unit, Estimate value, Source source,
                    std::function<void(SizingProblem&, double)> scale) {
  ScalableInput made;
  made.shown.name = name;
  made.shown.unit = unit;
  made.shown.value = value.value;
  made.shown.ci95 = value.ci95;
  made.shown.source = source;
  made.scale = std::move(scale);
  return made;
}

using Scale = std::function<void(SizingProblem&, double)>;
const Scale kUser = [](SizingProblem& problem, double factor) { scale_times(problem, factor, 1, 1); };
const Scale kCandidates = [](SizingProblem& problem, double factor) { scale_times(problem, 1, factor, 1); };
const Scale kNaive = [](SizingProblem& problem, double factor) { scale_times(problem, 1, 1, factor); };
const Scale kAll = [](SizingProblem& problem, double factor) { scale_times(problem, factor, factor, factor); };

/// The one-parameter form, with its inputs. c: in seconds or 1.
ServiceFit one_parameter(const Estimate& r, double c, bool timed, Source source) {
  ServiceFit fit;
  set_line(fit.service, c * (1 - r.value), c * r.value);
  fit.naive_s = per_candidate(c);
  fit.speedup = [r = r.value](std::int64_t n) { return speedup(static_cast<double>(n), r); };
  fit.speedup_line = {1 - r.value, r.value};
  if (r.value > 0) fit.limit = 1 / r.value;
  fit.inputs.push_back(input("r", "ratio", r, source, [value = r.value](SizingProblem& problem, double factor) {
    const double to = std::min(1.0, value * factor);
    if (value < 1 && value > 0) scale_times(problem, (1 - to) / (1 - value), to / value, 1);
  }));
  if (timed) fit.inputs.push_back(input("naive_candidate_s", "s", {c, {}}, source, kAll));
  return fit;
}

/// N/S of a model where that is a line in N, nullopt where it is not.
std::optional<SpeedupLine> line_of(const FittedModel& model) {
  const CostForm& form = *find_form(model.name);
  const Constants constants = constants_of(form, model);
  const double candidate = form.slope(constants), user = form.time(constants, 1) - candidate;
  for (const double n : {2.0, 30.0, 1e4}) {
    if (!(std::abs(user + candidate * n - form.time(constants, n)) <= 1e-9 * form.time(constants, n)))
      return std::nullopt;
  }
  return SpeedupLine{user, candidate};
}

/// `value` with the relative interval of another estimate.
Estimate with_interval_of(double value, const std::optional<Estimate>& other) {
  Estimate estimate{value, {}};
  if (other && other->ci95 && other->value > 0) {
    estimate.ci95 = Interval{value * other->ci95->lo / other->value, value * other->ci95->hi / other->value};
  }
  return estimate;
}

/// Gives `service` its line and its cost per block where they are what its candidates take. Not so for copies of a
/// cache that only together leave the CPU's cache.
void find_line(ServiceModel& service, std::int64_t block) {
  const auto seconds = service.candidates_s;
  const double one = seconds(1);
  const double candidate = block > 1 ? (seconds(block) - one) / static_cast<double>(block - 1) : one;
  ServiceModel line = service;
  set_line(line, service.prefill_s, candidate, block > 1 ? std::max(0.0, one - candidate) : 0, block);
  // Within a block, across blocks, and far beyond them.
  for (const std::int64_t n : {std::int64_t{2}, (block + 1) / 2, block, block + 1, 5 * block + 3, kMaxCandidates}) {
    if (n > kMaxCandidates) continue;
    if (!(std::abs(line.candidates_s(n) - seconds(n)) <= 1e-9 * seconds(n))) return;
  }
  service = line;
}

}  // namespace

std::optional<ServiceFit> service_of_fit(const TimingTable& table, const Fit& fit, bool extrapolate) {
  const std::vector<Level> levels = load_levels(table, fit.scheme).levels;
  if (!fit.r || levels.empty()) return std::nullopt;
  const double c = naive_candidate_seconds(levels);
  const TimesByN &scheme = table.at(fit.scheme), &naive = table.at(kBaseline);
  ServiceFit model = one_parameter(*fit.r, c, true, Source::fitted);
  const FittedModel* used = fit.in_use();
  if (used != nullptr) model.speedup_line = line_of(*used);
  const Predictor predictor(table, fit, extrapolate);
  const Curve& relative = predictor.relative();
  const Line line = time_line(scheme).value_or(
      model.speedup_line ? Line{c * model.speedup_line->user, c * model.speedup_line->candidate} : Line{c, 0});
  const Curve time = time_curve(scheme, [line](double n) { return line.time(n); }),
              naive_time = time_curve(naive, [](double n) { return n; });
  std::map<std::int64_t, double> measured;
  for (const Level& level : levels) measured[level.candidates] = observed_speedup(level).value;
  model.speedup = [relative, measured](std::int64_t n) {
    const auto found = measured.find(n);  // to the last bit
    return found != measured.end() ? found->second : static_cast<double>(n) / relative(n);
  };
  model.speedup_straight = relative.straight();
  model.limit = fit.asymptote;
  set_curve(model.service, time, line);
  model.naive_s = naive_time;
  for (const Level& level : levels) model.measured.push_back(level.candidates);
  model.min_measured = model.measured.front();
  model.max_measured = model.measured.back();
  model.known_to = std::min(kMaxCandidates, predictor.reach());
  model.speedup_interval = [predictor](std::int64_t n) {
    const std::optional<Estimate> speedup = predictor.at(n).speedup;
    return speedup ? speedup->ci95 : std::nullopt;
  };
  model.service.half = time_half(scheme, time, counts_to_tell(model.measured, time.straight(), model.known_to));
  if (scheme.size() >= kLineCounts) {
    model.inputs = {
        input("prefill_s", "s", {model.service.prefill_s, {}}, Source::fitted, kUser),
        input("candidate_s", "s",
              with_interval_of(line.candidate, used != nullptr && used->marginal_r ? used->marginal_r : fit.r),
              Source::fitted, kCandidates),
        input("naive_candidate_s", "s", {c, {}}, Source::fitted, kNaive)};
  }
  model.service.residuals = residuals_of(scheme, time);
  model.naive_residuals = residuals_of(naive, naive_time);
  return model;
}

std::vector<double> lognormal_residuals(double tail) {
  if (tail <= 1) return {1};
  // P99 over mean of a lognormal is exp(z sigma - sigma²/2); the smaller of the two sigma that give it.
  const double z = normal_quantile(0.99);
  const double sigma = z - std::sqrt(std::max(0.0, z * z - 2 * std::log(tail)));
  constexpr int kPoints = 1000;
  std::vector<double> residuals;
  double sum = 0;
  for (int i = 0; i < kPoints; ++i) {
    residuals.push_back(std::exp(sigma * normal_quantile((i + 0.5) / kPoints)));
    sum += residuals.back();
  }
  for (double& value : residuals) value *= kPoints / sum;
  return residuals;
}

ServiceFit service_of_r(double r, std::optional<double> naive_candidate_s, double tail) {
  ServiceFit fit =
      one_parameter({r, {}}, naive_candidate_s.value_or(1), naive_candidate_s.has_value(), Source::assumed);
  fit.service.residuals = fit.naive_residuals = lognormal_residuals(tail);
  return fit;
}

ServiceFit service_of_surface(const Surface& surface, const SurfaceFamily& family, std::int64_t history_length,
                              std::int64_t layers, std::vector<double> residuals, std::vector<double> naive_residuals,
                              bool extrapolate) {
  const auto at = [surface, family, history_length, layers](std::int64_t candidates) {
    return request_seconds(surface, family, history_length, layers, candidates);
  };
  ServiceFit fit;
  fit.service.prefill_s = at(1).prefill_s;
  fit.service.candidates_s = [at](std::int64_t n) { return at(n).candidates_s; };
  find_line(fit.service, family.scheme.block == 0 ? kMaxCandidates : family.scheme.block);
  fit.naive_s = [at](std::int64_t n) { return at(n).naive_s; };
  fit.speedup = [at](std::int64_t n) {
    const RequestSeconds seconds = at(n);
    return seconds.naive_s / (seconds.prefill_s + seconds.candidates_s);
  };
  const RequestSeconds most = at(kMaxCandidates);
  const double limit = most.naive_s / (most.prefill_s + most.candidates_s);
  fit.limit = limit;
  if (surface.speedup_log_error) {
    // As predict_surface().
    const double half = student_t_factor(0.95, surface.shapes - 1) * *surface.speedup_log_error;
    fit.service.half = Steps{{1}, {half}};
    fit.speedup_interval = [half, speedup = fit.speedup](std::int64_t n) {
      return std::optional(Interval{speedup(n) * std::exp(-half), speedup(n) * std::exp(half)});
    };
  }
  fit.service.residuals = std::move(residuals);
  fit.naive_residuals = std::move(naive_residuals);
  fit.min_measured = surface.min_candidates;
  fit.max_measured = surface.max_candidates;
  fit.known_to = extrapolate ? kMaxCandidates : kReach * surface.max_candidates;
  fit.inputs.push_back(input("prefill_s", "s", {fit.service.prefill_s, {}}, Source::fitted, kUser));
  fit.inputs.push_back(input("candidate_s", "s",
                             {limit > 0 ? fit.naive_s(kMaxCandidates) / limit / kMaxCandidates : 0, {}}, Source::fitted,
                             kCandidates));
  fit.inputs.push_back(
      input("naive_candidate_s", "s", {fit.naive_s(kMaxCandidates) / kMaxCandidates, {}}, Source::fitted, kNaive));
  return fit;
}

}  // namespace kvcast::analysis
