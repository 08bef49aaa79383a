// What a cost model is: how it is fitted to the speed-ups of a scheme, and what it says of any N. THE list of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kvcast/report.h"

namespace kvcast::analysis {

/// What the forms are fitted to: one N.
struct LogPoint {
  double candidates = 0, log_speedup = 0;
  double variance = 0;  ///< squared standard error of log_speedup, not below its floor
};

/// Values of a form's constants, in units of one naive candidate. Those beyond its parameters are the fit's own.
using Constants = std::vector<double>;

/// A constant as a report tells it.
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
  std::size_t least;           ///< distinct N that it can be fitted to
  std::size_t reported_from;   ///< distinct N from which it is reported: fewer would fit it whatever they are
  bool one_says_nothing;       ///< N = 1 fits it whatever its constants are

  /// Constants by least squares, without their bounds: noise may carry an estimate over a bound, and an estimate cut at
  /// one has no spread. nullopt where the points are too few. points: ascending N.
  std::optional<Constants> (*fit)(const std::vector<LogPoint>& points);
  /// By the same least squares, within their bounds.
  std::optional<Constants> (*bounded)(const std::vector<LogPoint>& points);
  /// What least squares makes small at one N.
  double (*residual)(const Constants& constants, const LogPoint& point);
  /// N/S(N) > 0 for constants within their bounds; others are brought there.
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
/// How much smaller an error at points left out must be for a model to be preferred to a simpler one.
inline constexpr double kClearlySmaller = 0.8;
/// Errors below this, in percent, are rounding: two forms that both fit exactly are not told apart by it.
inline constexpr double kExactPct = 1e-6;

/// Symbol of the seconds of one naive candidate, among the parameters of a model that has times.
inline constexpr const char* kNaiveSymbol = "c";

/// All cost models, simple ones first; a new one is a file and a line here. The first is the one-parameter law, whose
/// constant gives r.
const std::vector<CostForm>& cost_forms();

/// The smallest N in [1, most] of which `reached` holds, as it does of `most` and of every N behind the first.
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
/// What the parameters of a report were made of. model: of this form.
Constants constants_of(const CostForm& form, const FittedModel& model);

const CostForm& law_form();
const CostForm& affine_form();

}  // namespace kvcast::analysis
