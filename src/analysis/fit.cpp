#include "analysis/fit.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <set>
#include <utility>

#include "analysis/composition.h"
#include "analysis/curve.h"
#include "analysis/forms.h"
#include "analysis/verdict.h"
#include "kvcast/cost_model.h"
#include "statistics/statistics.h"

namespace kvcast::analysis {
namespace {

/// How much smaller the affine form's leave-one-out error must be to be preferred.
constexpr double kClearlySmaller = 0.8;
/// Errors below this, in percent, are rounding: two forms that both fit exactly are not told apart by it.
constexpr double kExactPct = 1e-6;
/// Distinct N > 1 from which the form can be tested, and distinct N from which three affine constants can be.
constexpr std::size_t kMinTestedN = 3, kMinAffineN = 3;
/// The cost of one more candidate is known when its interval is narrower than this factor.
constexpr double kIdentifiableFactor = 2;

std::vector<Level> without_candidates(const std::vector<Level>& levels, std::int64_t candidates) {
  std::vector<Level> rest;
  for (const Level& level : levels) {
    if (level.candidates != candidates) rest.push_back(level);
  }
  return rest;
}

/// Speed-up at each N predicted from the other N.
struct LeftOut {
  std::map<std::int64_t, double> one_parameter, affine;
};

LeftOut leave_one_out(const std::vector<Level>& levels) {
  LeftOut predictions;
  for (const Level& level : levels) {
    const std::vector<LogPoint> rest = log_points(without_candidates(levels, level.candidates));
    const auto candidates = static_cast<double>(level.candidates);
    if (const auto r = fit_forms(rest).r) {
      predictions.one_parameter[level.candidates] = speedup(candidates, bounded_r(*r));
    }
    if (rest.size() >= 2) predictions.affine[level.candidates] = bounded_line(rest).speedup(candidates);
  }
  return predictions;
}

std::size_t distinct_above_one(const std::vector<Level>& levels) {
  return static_cast<std::size_t>(
      std::count_if(levels.begin(), levels.end(), [](const Level& level) { return level.candidates > 1; }));
}

double error_pct(double predicted, const Level& level) { return 100 * (predicted / observed_speedup(level).value - 1); }

/// RMS of the percentage errors of `predictions`; every level must have one.
double rms_error_pct(const std::vector<Level>& levels, const std::map<std::int64_t, double>& predictions) {
  double squares = 0;
  for (const Level& level : levels) squares += std::pow(error_pct(predictions.at(level.candidates), level), 2);
  return std::sqrt(squares / static_cast<double>(levels.size()));
}

/// Largest |S_fit/S_obs - 1| in percent.
template <typename Form>
double max_residual_pct(const std::vector<Level>& levels, const Form& form) {
  double largest = 0;
  for (const Level& level : levels) {
    const double fitted = form(static_cast<double>(level.candidates));
    largest = std::max(largest, std::abs(fitted / observed_speedup(level).value - 1));
  }
  return 100 * largest;
}

/// Weighted share of the variance of log S over N that the form explains; nullopt when S does not vary.
std::optional<double> r_squared(const std::vector<LogPoint>& points, double r, double tau) {
  double weights = 0, centre = 0, residual = 0, total = 0;
  const auto weight = [tau](const LogPoint& point) { return 1 / (point.variance + tau * tau); };
  for (const LogPoint& point : points) {
    weights += weight(point);
    centre += weight(point) * point.log_speedup;
  }
  centre /= weights;
  for (const LogPoint& point : points) {
    const double error = point.log_speedup - std::log(speedup(point.candidates, r));
    residual += weight(point) * error * error;
    total += weight(point) * (point.log_speedup - centre) * (point.log_speedup - centre);
  }
  if (points.size() < 2 || total <= 0) return std::nullopt;
  return 1 - residual / total;
}

/// Half-width of log(1+(M-1) r) that the N leave about the form, beyond their noise: for data that the form does not
/// describe, r depends on which N were measured.
double lack_of_fit_half_width(const std::vector<LogPoint>& points, const Forms& forms) {
  const double r = bounded_r(*forms.r), largest = points.back().candidates - 1, tau_squared = std::pow(*forms.tau, 2);
  double information = 0, variance = 0, count = 0;
  for (const LogPoint& point : points) {
    if (point.candidates <= 1) continue;
    const double slope = (point.candidates - 1) / (1 + (point.candidates - 1) * r) * (1 + largest * r) / largest;
    const double weight = 1 / (point.variance + tau_squared);
    information += weight * slope * slope;
    variance += weight * weight * slope * slope * tau_squared;
    ++count;
  }
  return count > 1 ? student_t_factor(0.95, count - 1) * std::sqrt(variance) / information : 0;
}

/// 95% interval of r, not below 0. misfit: half-width for what the form leaves out.
std::optional<Interval> interval_of_r(const Uncertainty& uncertainty, std::int64_t largest, double misfit) {
  const auto others = static_cast<double>(largest - 1);
  const auto log_time = [others](const Forms& forms) { return std::log1p(others * *forms.r); };
  const std::optional<StandardError> error = uncertainty.of_r(log_time);
  if (!error) return std::nullopt;
  const auto back = [others](double theta) { return std::max(std::expm1(theta) / others, 0.0); };
  const double theta = log_time(uncertainty.forms()), half = std::hypot(error->half_width(), misfit);
  return Interval{back(theta - half), back(theta + half)};
}

Estimate marginal_r(const Uncertainty& uncertainty, const Line& line) {
  const auto slope = [](const Forms& forms) { return forms.line->candidate; };
  Estimate estimate{line.candidate, std::nullopt};
  if (const std::optional<StandardError> error = uncertainty.of_line(slope)) {
    // Around the free slope; where a bound of the other constant has moved the estimate away from it, as far as that.
    const double value = slope(uncertainty.forms()), half = error->half_width();
    estimate.ci95 = Interval{std::clamp(value - half, 0.0, line.candidate), std::max(value + half, line.candidate)};
  }
  return estimate;
}

/// Whether the time of one candidate, a+b, is told apart from naive's c.
bool fixed_costs_show(const Uncertainty& uncertainty) {
  const auto excess = [](const Forms& forms) { return forms.line->history + forms.line->candidate - 1; };
  const std::optional<StandardError> error = uncertainty.of_line(excess);
  return error && std::abs(excess(uncertainty.forms())) > error->half_width();
}

/// Whether a form describes the speed-ups: at no N is it off by more than kMaxMisfit beyond what the rounds leave open.
template <typename Form>
bool describes(const std::vector<Level>& levels, const Form& form) {
  return std::all_of(levels.begin(), levels.end(), [&](const Level& level) {
    const Estimate observed = observed_speedup(level);
    const double noise = observed.ci95 ? std::log(observed.ci95->hi / observed.value) : 0;
    const double off = std::abs(std::log(form(static_cast<double>(level.candidates)) / observed.value));
    return off <= std::log1p(kMaxMisfit) + noise;
  });
}

/// Which form, and the errors it was chosen by.
struct Judgement {
  std::optional<double> one_parameter_pct, affine_pct;
  bool law_holds = false, line_holds = false;
  std::string preferred = "untested";
};

Judgement judge(const std::vector<Level>& levels, const LeftOut& left_out, const Uncertainty& uncertainty) {
  Judgement judgement;
  const std::size_t above_one = distinct_above_one(levels);
  if (above_one == 0) return judgement;
  // With a single N > 1 nothing is left to predict it from.
  if (above_one >= 2) judgement.one_parameter_pct = rms_error_pct(levels, left_out.one_parameter);
  if (above_one >= 2 && levels.size() >= kMinAffineN) judgement.affine_pct = rms_error_pct(levels, left_out.affine);
  const double r = bounded_r(*uncertainty.forms().r);
  judgement.law_holds = describes(levels, [r](double candidates) { return speedup(candidates, r); });
  // Two N test nothing: every line goes through them.
  if (levels.size() < kMinAffineN) return judgement;
  const Line line = bounded_line(log_points(levels));
  judgement.line_holds = describes(levels, [&](double candidates) { return line.speedup(candidates); });
  if (!judgement.law_holds) {
    judgement.preferred = judgement.line_holds ? "affine" : "neither";
  } else if (above_one >= kMinTestedN) {
    const bool affine = judgement.line_holds && *judgement.one_parameter_pct > kExactPct &&
                        *judgement.affine_pct < kClearlySmaller * *judgement.one_parameter_pct &&
                        fixed_costs_show(uncertainty);
    judgement.preferred = affine ? "affine" : "one-parameter";
  }
  return judgement;
}

/// Where nothing tells how uncertain a slope is: what candidates must take of the time at the largest N to be seen.
constexpr double kSeenShare = 0.1;

/// What the form in use says beyond the data: identifiable, asymptote, candidates_for_90, known_to.
void look_beyond(Fit& fit, const std::vector<Level>& levels, const Judgement& judgement) {
  const std::int64_t largest = levels.back().candidates;
  fit.known_to = largest;
  const bool affine = fit.preferred == "affine";
  if (!(affine ? judgement.line_holds && fit.marginal_r : judgement.law_holds)) return;
  const Estimate slope = affine ? *fit.marginal_r : *fit.r;
  if (slope.ci95) {
    fit.identifiable = slope.ci95->lo > 0 && slope.ci95->hi < kIdentifiableFactor * slope.ci95->lo;
    if (!(slope.ci95->lo > 0)) return;
  } else {
    const double fixed = affine ? fit.affine->user_s / fit.affine->naive_candidate_s : 1 - slope.value;
    const double candidates = slope.value * static_cast<double>(largest);
    if (!(candidates > kSeenShare * (fixed + candidates))) return;
  }
  fit.known_to = kReach * largest;
  if (!(slope.value < 1) || (slope.ci95 && !fit.identifiable)) return;
  const double limit = 1 / slope.value;
  for (const Level& level : levels) {
    if (observed_speedup(level).value > limit) return;
  }
  fit.asymptote = limit;
  const double for_90 =
      affine ? 9 * fit.affine->user_s / fit.affine->candidate_s : candidates_for_fraction(0.9, slope.value);
  if (for_90 <= static_cast<double>(*fit.known_to))
    fit.candidates_for_90 = std::max<std::int64_t>(1, std::llround(std::ceil(for_90 * (1 - 1e-9))));
}

std::vector<Residual> residuals_of(const std::vector<Level>& levels, const Fit& fit, const std::optional<Line>& line,
                                   const LeftOut& left_out) {
  std::vector<Residual> residuals;
  for (const Level& level : levels) {
    const auto candidates = static_cast<double>(level.candidates);
    Residual residual;
    residual.candidates = level.candidates;
    residual.speedup = observed_speedup(level);
    if (fit.r) residual.one_parameter_pct = error_pct(speedup(candidates, fit.r->value), level);
    if (line) residual.affine_pct = error_pct(line->speedup(candidates), level);
    const auto without = [&](const std::map<std::int64_t, double>& predictions) -> std::optional<double> {
      const auto found = predictions.find(level.candidates);
      if (found == predictions.end()) return std::nullopt;
      return error_pct(found->second, level);
    };
    residual.loo_pct = without(left_out.one_parameter);
    // Of fewer N the affine form is not fitted to all of them either.
    if (line) residual.affine_loo_pct = without(left_out.affine);
    residuals.push_back(residual);
  }
  return residuals;
}

/// Medians at the N of the levels.
Times times_of(const std::vector<Sample>& samples, const std::vector<Level>& levels, const std::string& scheme) {
  const TimingTable table = tabulate(samples);
  Times times;
  for (const Level& level : levels) {
    const auto median_at = [&](const std::string& name) {
      return Curve::Anchor{level.candidates, median_seconds(*find_timings(table, name, level.candidates))};
    };
    times.naive.push_back(median_at(kBaseline));
    times.scheme.push_back(median_at(scheme));
  }
  return times;
}

}  // namespace

std::string unfittable(const std::vector<Sample>& samples, const std::string& scheme) {
  const TimingTable table = tabulate(samples);
  if (!table.contains(scheme)) return "no usable timing of " + scheme;
  const std::vector<Level> levels = load_levels(samples, scheme).levels;
  if (levels.empty()) {
    return "no timing of " + scheme + " has one of " + kBaseline + " at the same N in the same round";
  }
  if (distinct_above_one(levels) == 0) return "only N = 1 is there, which says nothing about r";
  return {};
}

Fit fit_scheme(const std::vector<Sample>& samples, const std::string& scheme, double work_r) {
  const Levels data = load_levels(samples, scheme);
  const std::vector<Level>& levels = data.levels;
  Fit fit;
  fit.scheme = scheme;
  fit.excluded_pairs = data.excluded;
  if (std::isfinite(work_r)) fit.r_flops = work_r;

  std::set<std::int64_t> rounds;
  for (const Level& level : levels) {
    for (const TimingPair& pair : level.pairs) rounds.insert(pair.round);
  }
  fit.rounds = static_cast<std::int64_t>(rounds.size());

  const std::vector<LogPoint> points = log_points(levels);
  const Uncertainty uncertainty(levels);
  const Forms& forms = uncertainty.forms();
  const LeftOut left_out = leave_one_out(levels);
  const Judgement judgement = judge(levels, left_out, uncertainty);
  if (forms.r) {
    const double r = bounded_r(*forms.r);
    const bool told = judgement.law_holds || !forms.tau || uncertainty.by_scatter();
    const double misfit = told ? 0 : lack_of_fit_half_width(points, forms);
    fit.r = Estimate{r, interval_of_r(uncertainty, levels.back().candidates, misfit)};
    if (r < 1) fit.rho = r / (1 - r);
    fit.r_squared = r_squared(points, r, forms.tau.value_or(0));
    fit.max_residual_pct = max_residual_pct(levels, [r](double candidates) { return speedup(candidates, r); });
    if (forms.tau) fit.lack_of_fit_pct = 100 * *forms.tau;
  }
  std::optional<Line> line;
  if (levels.size() >= kMinAffineN) {
    line = bounded_line(points);
    const double naive_s = naive_candidate_seconds(levels);
    fit.affine = AffineFit{line->history * naive_s, line->candidate * naive_s, naive_s};
    // On its bound b says nothing of itself, and a form that does not describe the data nothing of the next candidate.
    if (judgement.line_holds && line->candidate > 0) fit.marginal_r = marginal_r(uncertainty, *line);
    fit.affine_max_residual_pct =
        max_residual_pct(levels, [&](double candidates) { return line->speedup(candidates); });
  }
  fit.loo_error_pct = judgement.one_parameter_pct;
  fit.affine_loo_error_pct = judgement.affine_pct;
  fit.preferred = judgement.preferred;
  fit.residuals = residuals_of(levels, fit, line, left_out);
  if (forms.r) look_beyond(fit, levels, judgement);
  put_into_words(fit, times_of(samples, levels, scheme));
  return fit;
}

std::map<std::int64_t, double> loo_predictions(const std::vector<Sample>& samples, const std::string& scheme) {
  const std::vector<Level> levels = load_levels(samples, scheme).levels;
  LeftOut left_out = leave_one_out(levels);
  const std::string preferred = judge(levels, left_out, Uncertainty(levels)).preferred;
  if (preferred == "neither") return {};
  return std::move(preferred == "affine" ? left_out.affine : left_out.one_parameter);
}

}  // namespace kvcast::analysis
