#include "analysis/fit.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <set>
#include <utility>

#include "analysis/composition.h"
#include "analysis/curve.h"
#include "analysis/uncertainty.h"
#include "analysis/verdict.h"
#include "kvcast/cost_model.h"
#include "statistics/statistics.h"

namespace kvcast::analysis {
namespace {

/// Distinct N from which a form can be preferred to the law.
constexpr std::size_t kMinJudgedN = 3;
/// The cost of one more candidate is known when its interval is narrower than this factor.
constexpr double kIdentifiableFactor = 2;

std::vector<Level> without_candidates(const std::vector<Level>& levels, std::int64_t candidates) {
  std::vector<Level> rest;
  for (const Level& level : levels) {
    if (level.candidates != candidates) rest.push_back(level);
  }
  return rest;
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
double lack_of_fit_half_width(const std::vector<LogPoint>& points, double r, double tau) {
  const double largest = points.back().candidates - 1, tau_squared = tau * tau;
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

/// 95% interval of r, not below 0. misfit: half-width for what the law leaves out.
std::optional<Interval> interval_of_r(const Uncertainty& uncertainty, std::int64_t largest, double misfit) {
  const auto others = static_cast<double>(largest - 1);
  const auto log_time = [others](const Constants& law) { return std::log1p(others * law.front()); };
  const CostForm& law_of_list = cost_forms().front();
  const std::optional<StandardError> error = uncertainty.of(law_of_list, log_time);
  if (!error) return std::nullopt;
  const auto back = [others](double theta) { return std::max(std::expm1(theta) / others, 0.0); };
  const double theta = log_time(*uncertainty.constants(law_of_list)), half = std::hypot(error->half_width(), misfit);
  return Interval{back(theta - half), back(theta + half)};
}

/// A form of the list on one scheme's data.
struct Fitted {
  const CostForm* form = nullptr;
  Constants constants;                      ///< within their bounds
  std::map<std::int64_t, double> left_out;  ///< speed-up at each measured N predicted from the other N
  std::optional<double> loo_pct;            ///< RMS error of those
  bool holds = false;                       ///< describes the data

  double speedup(std::int64_t candidates) const { return form->speedup(constants, static_cast<double>(candidates)); }
};

/// The slope of a form that is not the law, with its interval.
Estimate slope_of(const Fitted& fitted, const Uncertainty& uncertainty) {
  Estimate estimate{fitted.form->slope(fitted.constants), std::nullopt};
  if (const std::optional<StandardError> error = uncertainty.of(*fitted.form, fitted.form->slope)) {
    // Around the free slope; where a bound of another constant has moved the estimate away from it, as far as that.
    const double value = fitted.form->slope(*uncertainty.constants(*fitted.form)), half = error->half_width();
    estimate.ci95 = Interval{std::clamp(value - half, 0.0, estimate.value), std::max(value + half, estimate.value)};
  }
  return estimate;
}

/// Whether the part of a form beyond the law differs from zero.
bool more_than_law(const Fitted& fitted, const Uncertainty& uncertainty) {
  const std::optional<StandardError> error = uncertainty.of(*fitted.form, fitted.form->beyond_law);
  return error && std::abs(fitted.form->beyond_law(*uncertainty.constants(*fitted.form))) > error->half_width();
}

/// Whether a form describes the speed-ups: at no N is it off by more than kMaxMisfit beyond what the rounds leave open.
bool describes(const std::vector<Level>& levels, const Fitted& fitted) {
  return std::all_of(levels.begin(), levels.end(), [&](const Level& level) {
    const Estimate observed = observed_speedup(level);
    const double noise = observed.ci95 ? std::log(observed.ci95->hi / observed.value) : 0;
    const double off = std::abs(std::log(fitted.speedup(level.candidates) / observed.value));
    return off <= std::log1p(kMaxMisfit) + noise;
  });
}

/// Those of the list that so many N can be fitted to. None without an N > 1.
std::vector<Fitted> fit_forms(const std::vector<Level>& levels) {
  std::vector<Fitted> all;
  const std::size_t above_one = distinct_above_one(levels);
  if (above_one == 0) return all;
  const std::vector<LogPoint> points = log_points(levels);
  std::vector<std::vector<LogPoint>> others;
  for (const Level& level : levels) others.push_back(log_points(without_candidates(levels, level.candidates)));
  for (const CostForm& form : cost_forms()) {
    if (levels.size() < form.reported_from) continue;
    const std::optional<Constants> constants = form.bounded(points);
    if (!constants) continue;
    Fitted fitted{&form, *constants, {}, std::nullopt, false};
    for (std::size_t i = 0; i < levels.size(); ++i) {
      const std::int64_t candidates = levels[i].candidates;
      const std::optional<Constants> rest = form.bounded(others[i]);
      if (rest) fitted.left_out[candidates] = form.speedup(*rest, static_cast<double>(candidates));
    }
    // With a single N > 1 nothing is left to predict it from.
    if (above_one >= 2) fitted.loo_pct = rms_error_pct(levels, fitted.left_out);
    fitted.holds = describes(levels, fitted);
    all.push_back(std::move(fitted));
  }
  return all;
}

/// Fit::preferred and Fit::in_use().
struct Choice {
  std::string preferred;
  const Fitted* in_use = nullptr;
};

Choice choose(const std::vector<Fitted>& forms, const std::vector<Level>& levels, const Uncertainty& uncertainty) {
  if (forms.empty()) return {kUntested};
  const Fitted& law = forms.front();
  // Two N test nothing: every line goes through them.
  const bool tested = distinct_above_one(levels) >= kMinTestedN;
  if (levels.size() < kMinJudgedN || (law.holds && !tested)) return {kUntested, &law};
  const Fitted* best = law.holds ? &law : nullptr;
  for (const Fitted& other : forms) {
    if (&other == best || !other.holds) continue;
    const bool better =
        best == nullptr || (*best->loo_pct > kExactPct && *other.loo_pct < kClearlySmaller * *best->loo_pct &&
                            (!law.holds || more_than_law(other, uncertainty)));
    if (better) best = &other;
  }
  return best == nullptr ? Choice{kNoModel} : Choice{best->form->name, best};
}

/// Where nothing tells how uncertain a slope is: what candidates must take of the time at the largest N to be seen.
constexpr double kSeenShare = 0.1;

/// The smallest N up to `most` at which the speed-up is at least `wanted`; nullopt when it is not there yet.
std::optional<std::int64_t> candidates_for(const Fitted& fitted, double wanted, std::int64_t most) {
  const auto reached = [&](std::int64_t candidates) { return fitted.speedup(candidates) >= wanted * (1 - 1e-10); };
  return reached(most) ? std::optional(first_candidates(most, reached)) : std::nullopt;
}

/// What the form in use says beyond the data: identifiable, asymptote, candidates_for_90, known_to.
void look_beyond(Fit& fit, const std::vector<Level>& levels, const Fitted* fitted) {
  const std::int64_t largest = levels.back().candidates;
  fit.known_to = largest;
  const FittedModel* model = fit.in_use();
  if (fitted == nullptr || !fitted->holds || !model->marginal_r) return;
  const Estimate slope = *model->marginal_r;
  if (slope.ci95) {
    fit.identifiable = slope.ci95->lo > 0 && slope.ci95->hi < kIdentifiableFactor * slope.ci95->lo;
    if (!(slope.ci95->lo > 0)) return;
  } else {
    const auto most = static_cast<double>(largest);
    if (!(slope.value * most > kSeenShare * fitted->form->time(fitted->constants, most))) return;
  }
  fit.known_to = kReach * largest;
  if (!(slope.value < 1) || (slope.ci95 && !fit.identifiable)) return;
  const double limit = 1 / slope.value;
  for (const Level& level : levels) {
    if (observed_speedup(level).value > limit) return;
  }
  fit.asymptote = limit;
  fit.candidates_for_90 = candidates_for(*fitted, 0.9 * limit, *fit.known_to);
}

/// As a report tells it, but for marginal_r.
FittedModel model_of(const Fitted& fitted, const std::vector<Level>& levels, double naive_s) {
  FittedModel model = unfitted_model(fitted.form->name);
  for (std::size_t i = 0; i < fitted.form->parameters.size(); ++i) {
    model.parameters[i].value = fitted.constants[i] * (fitted.form->parameters[i].seconds ? naive_s : 1);
  }
  // What is in seconds needs them.
  if (model.parameters.size() > fitted.form->parameters.size()) model.parameters.back().value = naive_s;
  model.loo_error_pct = fitted.loo_pct;
  model.max_residual_pct = 0;
  for (const Level& level : levels) {
    ModelResidual residual{level.candidates, error_pct(fitted.speedup(level.candidates), level), std::nullopt};
    if (const auto found = fitted.left_out.find(level.candidates); found != fitted.left_out.end()) {
      residual.loo_pct = error_pct(found->second, level);
    }
    model.max_residual_pct = std::max(*model.max_residual_pct, std::abs(*residual.pct));
    model.residuals.push_back(residual);
  }
  return model;
}

/// Medians at the N of the levels.
Times times_of(const TimingTable& table, const std::vector<Level>& levels, const std::string& scheme) {
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

std::string unfittable(const TimingTable& table, const std::string& scheme) {
  if (!table.contains(scheme)) return "no usable timing of " + scheme;
  const std::vector<Level> levels = load_levels(table, scheme).levels;
  if (levels.empty()) {
    return scheme + " and " + kBaseline + " share no N in the same round";
  }
  if (distinct_above_one(levels) == 0) return "only N = 1 was timed, which says nothing about r";
  return {};
}

Fit fit_scheme(const TimingTable& table, const std::string& scheme, double work_r) {
  const Levels data = load_levels(table, scheme);
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

  for (const Level& level : levels) fit.observed.push_back({level.candidates, observed_speedup(level)});
  const std::vector<Fitted> forms = fit_forms(levels);
  const Uncertainty uncertainty(levels);
  const Choice choice = choose(forms, levels, uncertainty);
  fit.preferred = choice.preferred;
  const double naive_s = forms.empty() ? 0 : naive_candidate_seconds(levels);
  for (const Fitted& fitted : forms) {
    FittedModel& model = fit.models.emplace_back(model_of(fitted, levels, naive_s));
    // On its bound a slope says nothing of itself, and a form that does not describe the data nothing of the next
    // candidate.
    if (fitted.form->beyond_law != nullptr && fitted.holds && fitted.form->slope(fitted.constants) > 0) {
      model.marginal_r = slope_of(fitted, uncertainty);
    }
  }
  if (!forms.empty()) {
    const Fitted& law = forms.front();
    const std::vector<LogPoint> points = log_points(levels);
    const double r = law.constants.front();
    const std::optional<double> tau = law.constants.size() > 1 ? std::optional(law.constants[1]) : std::nullopt;
    const bool told = law.holds || !tau || uncertainty.by_scatter();
    const double misfit = told ? 0 : lack_of_fit_half_width(points, r, *tau);
    fit.r = fit.models.front().marginal_r = Estimate{r, interval_of_r(uncertainty, levels.back().candidates, misfit)};
    if (r < 1) fit.rho = r / (1 - r);
    fit.r_squared = r_squared(points, r, tau.value_or(0));
    if (tau) fit.lack_of_fit_pct = 100 * *tau;
    look_beyond(fit, levels, choice.in_use);
  }
  put_into_words(fit, times_of(table, levels, scheme));
  return fit;
}

std::map<std::int64_t, double> loo_predictions(const TimingTable& table, const std::string& scheme) {
  const std::vector<Level> levels = load_levels(table, scheme).levels;
  const std::vector<Fitted> forms = fit_forms(levels);
  const Fitted* fitted = choose(forms, levels, Uncertainty(levels)).in_use;
  return fitted == nullptr ? std::map<std::int64_t, double>() : fitted->left_out;
}

}  // namespace kvcast::analysis
