#include "analysis/predict.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <optional>

#include "analysis/forms.h"
#include "analysis/statistics.h"
#include "kvcast/cost_model.h"

namespace kvcast::analysis {
namespace {

/// Leave-one-out errors of the form in use, as fractions, ascending N; empty when unknown.
std::vector<double> left_out_errors(const Fit& fit, bool affine) {
  std::vector<double> errors;
  if (!(affine ? fit.affine_loo_error_pct : fit.loo_error_pct)) return errors;
  for (const Residual& residual : fit.residuals) {
    errors.push_back(*(affine ? residual.affine_loo_pct : residual.loo_pct) / 100);
  }
  return errors;
}

std::string source_of(const std::vector<Level>& levels, std::int64_t candidates) {
  const auto same = [candidates](const Level& level) { return level.candidates == candidates; };
  if (std::any_of(levels.begin(), levels.end(), same)) return "measured";
  const bool inside = levels.front().candidates < candidates && candidates < levels.back().candidates;
  return inside ? "interpolated" : "extrapolated";
}

}  // namespace

std::optional<double> held_out_half_width(const std::vector<std::int64_t>& counts, const std::vector<double>& errors,
                                          std::int64_t candidates) {
  if (errors.empty()) return std::nullopt;
  double squares = 0;
  for (const double error : errors) squares += error * error;
  double rms = std::sqrt(squares / static_cast<double>(errors.size())), growth = 1;
  const auto beyond = [&](std::size_t edge, std::size_t beside) {
    const auto log_n = [&](std::size_t i) { return std::log(static_cast<double>(counts[i])); };
    rms = std::max(rms, std::abs(errors[edge]));
    growth += std::abs((std::log(static_cast<double>(candidates)) - log_n(edge)) / (log_n(edge) - log_n(beside)));
  };
  const std::size_t last = counts.size() - 1;
  if (candidates > counts[last]) beyond(last, last - 1);
  if (candidates < counts[0]) beyond(0, 1);
  return student_t_factor(0.95, static_cast<double>(errors.size())) * rms * growth;
}

std::vector<Prediction> predict(const std::vector<Sample>& samples, const std::string& scheme, const Fit& fit,
                                const std::vector<std::int64_t>& candidates) {
  std::vector<Prediction> predictions;
  const std::vector<Level> levels = load_levels(samples, scheme).levels;
  if (levels.empty() || !fit.r) return predictions;
  const bool affine = fit.preferred == "affine" && fit.affine;
  const std::vector<double> errors = left_out_errors(fit, affine);
  const double naive_s = naive_candidate_seconds(levels);
  const Uncertainty uncertainty(levels);
  std::vector<std::int64_t> counts;
  for (const Level& level : levels) counts.push_back(level.candidates);

  for (const std::int64_t count : candidates) {
    assert(count >= 1);
    const auto n = static_cast<double>(count);
    Prediction prediction;
    prediction.candidates = count;
    prediction.source = source_of(levels, count);
    prediction.by = affine ? "affine" : "one-parameter";
    prediction.held_out_error_pct = affine ? fit.affine_loo_error_pct : fit.loo_error_pct;
    std::optional<StandardError> error;
    if (affine) {
      const Line line{fit.affine->user_s / fit.affine->naive_candidate_s,
                      fit.affine->candidate_s / fit.affine->naive_candidate_s};
      prediction.speedup.value = line.speedup(n);
      // Beyond the data the line of a part of the rounds may fall below 0; a time does not.
      error = uncertainty.of_line([n](const Forms& forms) {
        return -std::log(std::max(forms.line->history, 0.0) / n + std::max(forms.line->candidate, 0.0));
      });
    } else {
      prediction.speedup.value = speedup(n, fit.r->value);
      error = uncertainty.of_r([n](const Forms& forms) { return std::log(speedup(n, bounded_r(*forms.r))); });
    }
    const std::optional<double> held_out = held_out_half_width(counts, errors, count);
    if (error && (held_out || prediction.source == "measured")) {
      const double half = std::hypot(error->half_width(), held_out.value_or(0));
      prediction.speedup.ci95 =
          Interval{prediction.speedup.value * std::exp(-half), prediction.speedup.value * std::exp(half)};
    }
    prediction.naive_seconds = naive_s * n;
    prediction.scheme_seconds = naive_s * n / prediction.speedup.value;
    predictions.push_back(std::move(prediction));
  }
  return predictions;
}

}  // namespace kvcast::analysis
