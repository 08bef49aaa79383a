// A cost model: how it is fitted to the speed-ups of a scheme, and its time at any N. THE list of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kvcast/report.h"

namespace kvcast::analysis {

/// One N, as the forms are fitted to it.
struct LogPoint {
  double candidates = 0, log_speedup = 0;
  double variance = 0;  ///< squared standard error of log_speedup, not below its floor
};

/// Values of a form's constants, in units of one naive candidate. Those beyond its parameters are the fit's own.
using Constants = std::vector<double>;

/// A constant as reported.
struct FormParameter {
  const char *name, *symbol, *unit;
  /// A time, so given in seconds: its value times the seconds of one naive candidate.
  bool seconds;
};

/// A cost model: the time of a request of N candidates, in naive candidates, is N/S(N).
struct CostForm {
  const char* name;    ///< in reports
  const char* phrase;  ///< in sentences
  /// The speed-up in N and the symbols of its parameters, its limit, and the N with 90% of it, as a spreadsheet has
  /// them (+ - * / and brackets). c is the time of a naive candidate.
  const char *formula, *limit, *for_90;
  std::vector<FormParameter> parameters;
  std::size_t free_constants;  ///< that least squares chooses
  std::size_t least;           ///< minimum number of distinct N to fit it
  std::size_t reported_from;   ///< minimum number of distinct N to report it: any fewer fit perfectly
  bool one_says_nothing;       ///< every choice of constants fits N = 1

  /// Constants by least squares without their bounds: noise may push an estimate over a bound, and clipping it there
  /// would hide its spread. nullopt with too few points. points: ascending N.
  std::optional<Constants> (*fit)(const std::vector<LogPoint>& points);
  /// By the same least squares, within their bounds.
  std::optional<Constants> (*bounded)(const std::vector<LogPoint>& points);
  /// The residual that least squares minimises, at one N.
  double (*residual)(const Constants& constants, const LogPoint& point);
  /// N/S(N) > 0; constants outside of their bounds are clipped.
  double (*time)(const Constants& constants, double candidates);
  /// Time of one more candidate where N is large: 1 over it is the limit of the speed-up.
  double (*slope)(const Constants& constants);
  /// 0 where the form is the one-parameter law; nullptr for the law itself.
  double (*beyond_law)(const Constants& constants);

  double speedup(const Constants& constants, double candidates) const {
    return candidates / time(constants, candidates);
  }
};

/// Distinct N > 1 from which a form can be tested.
inline constexpr std::size_t kMinTestedN = 3;
/// A model is preferred to a simpler one when its error at held-out points is below this share of the other's.
inline constexpr double kClearlySmaller = 0.8;
/// Errors below this, in percent, are rounding: it does not distinguish two forms that both fit exactly.
inline constexpr double kExactPct = 1e-6;

/// Symbol of the seconds of one naive candidate, among the parameters of a model that has times.
inline constexpr const char* kNaiveSymbol = "c";

/// All cost models, simple ones first; a new one is a file and a line here. The first is the one-parameter law, whose
/// constant gives r.
const std::vector<CostForm>& cost_forms();

/// The smallest N in [1, most] for which `reached` holds. It must hold for `most` and for every N after the first.
template <typename Reached>
std::int64_t first_candidates(std::int64_t most, const Reached& reached) {
  std::int64_t below = 0;
  while (most - below > 1) {
    const std::int64_t middle = below + (most - below) / 2;
    (reached(middle) ? most : below) = middle;
  }
  return most;
}

/// By name; null when there is none.
const CostForm* find_form(const std::string& name);
/// The constants behind the parameters of a report. model: of this form.
Constants constants_of(const CostForm& form, const FittedModel& model);

const CostForm& law_form();
const CostForm& affine_form();

}  // namespace kvcast::analysis
