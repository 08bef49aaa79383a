// The two forms of the cost model, fitted to log speed-ups, and how far the rounds of a run leave them uncertain.
// Pure functions of plain data, in any order. Used by fit.h and predict.h, which say what is reported of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "analysis/composition.h"
#include "kvcast/report.h"

namespace kvcast::analysis {

/// The clean pairs of one N, naive over scheme.
struct Level {
  std::int64_t candidates = 0;
  std::vector<TimingPair> pairs;  ///< ascending by round, at least one
};
struct Levels {
  std::vector<Level> levels;  ///< ascending N
  std::int64_t excluded = 0;  ///< pairs left out for their canary
};

/// Pairs of naive and `scheme` by (round, N), each brought to N candidates; prevailing timings only (composition.h).
Levels load_levels(const std::vector<Sample>& samples, const std::string& scheme);

/// Logs of naive over scheme time, one per pair.
std::vector<double> log_ratios(const Level& level);

/// ratio_of_run of the pairs: the observed speed-up of one N with its interval, as the point of a report has it.
Estimate observed_speedup(const Level& level);

/// c: naive seconds of one candidate, the geometric mean over N of trimmed means over rounds. Needs a level.
double naive_candidate_seconds(const std::vector<Level>& levels);

/// What the forms are fitted to: one N.
struct LogPoint {
  double candidates = 0, log_speedup = 0;
  double variance = 0;  ///< squared standard error of log_speedup, not below its floor
};

/// Trimmed mean log speed-ups with their variances. A variance of a few rounds is itself a guess, and weights that
/// follow it make the interval of r too narrow: simulated at 5 to 12 rounds and equal noise at five N, it covers
/// 92-93%. So the variance of a pair is drawn towards its median over N, which counts as 20 degrees of freedom, and not
/// believed below it, nor below 0.5%²: a timer does not repeat to better than half a percent. An N noisier than most
/// still counts less.
std::vector<LogPoint> log_points(const std::vector<Level>& levels);

/// N/S = α + βN: the affine form in units of one naive candidate, α = a/c and β = b/c.
struct Line {
  double history = 0, candidate = 0;
  double time(double candidates) const { return history + candidate * candidates; }
  double speedup(double candidates) const { return candidates / time(candidates); }
};

/// Both forms, without the bounds of their constants: noise may carry an estimate over a bound, and an estimate cut at
/// one has no spread.
struct Forms {
  std::optional<double> r;    ///< needs an N > 1; above -1/(N-1) of the largest N
  std::optional<double> tau;  ///< of log S: spread of the N about the one-parameter form beyond noise; needs two N
  std::optional<Line> line;   ///< needs two N
};

/// One-parameter form: r minimises Σ w_N (log S_obs - log S(N; r))² over N > 1 with w_N = 1/(se_N² + τ²). τ² is what
/// the form misses: the N are taken as drawn about it with that variance (random effects), and τ² is the one for which
/// the weighted squares of all N, N = 1 too, come to their degrees of freedom. So the weights are those of the noise
/// when the form holds and equal when it does not, and do not jump with the luck of a noise estimate.
/// Affine form: α, β by relative least squares, Σ ((q - α - βN)/q)² with q = N/S_obs.
/// Source: Paule and Mandel, "Consensus values and weighting factors", J. Res. NBS 87 (1982); iteration of DerSimonian
/// and Kacker, "Random-effects model for meta-analysis of clinical trials", Contemp. Clin. Trials 28 (2007).
Forms fit_forms(const std::vector<LogPoint>& points);

/// r above 0. Above 1 one more candidate costs more with sharing than without.
double bounded_r(double r);
/// α, β >= 0 by the same least squares as Forms::line; needs two N.
Line bounded_line(const std::vector<LogPoint>& points);

/// A standard error with the degrees of freedom of its Student's t.
struct StandardError {
  double value = 0, degrees = 1;
  /// Half-width of the 95% interval.
  double half_width() const;
};

/// How uncertain a function of the forms is, from one run to the next. Three designs:
///
/// Rounds that hold several N: delete-a-block jackknife. The N of one round share their history pass and the machine's
/// mood, so a round is the unit that is repeated; from 16 rounds on it is a block of consecutive ones, 8 to 10 in all,
/// so that drift within the run counts. Blocks of unequal size: Busing, Meijer and van der Leeden, "Delete-m jackknife
/// for unequal m", Statistics and Computing 9 (1999). Trimmed means are represented by their pseudo-values
/// (statistics.h), since trimming itself jumps when a value is left out. Times run_inflation.
///
/// Rounds of a single N each, over several N (independent repeats): each N by its own standard error, put together by
/// the derivatives of the function: the stratified jackknife, linearised. Degrees by Satterthwaite. An N with a single
/// pair takes the pooled variance.
///
/// A single pair per N: the scatter of the N about the form stands for the noise, with as many degrees as N beyond the
/// form's constants.
class Uncertainty {
 public:
  explicit Uncertainty(const std::vector<Level>& levels);

  /// Fitted to all the data.
  const Forms& forms() const { return full_; }

  /// Whether the scatter about the form, what it leaves out included, stands for the noise.
  bool by_scatter() const { return design_ == Design::scatter; }

  /// Standard error of `function`, which looks at one form only: r of Forms, or its line. nullopt where the design
  /// gives none: one pair, one round, fewer N than constants.
  std::optional<StandardError> of_r(const std::function<double(const Forms&)>& function) const;
  std::optional<StandardError> of_line(const std::function<double(const Forms&)>& function) const;

 private:
  enum class Design { none, rounds, strata, scatter };
  struct Perturbed {
    Forms up, down;   ///< log speed-up of one N up and down by `step`
    double step = 0;  ///< its standard error; of the scatter: see scatter_r_, scatter_line_
    double degrees = 0;
  };
  using Function = std::function<double(const Forms&)>;
  std::optional<StandardError> evaluate(const Function& function, bool line) const;
  std::optional<StandardError> over_rounds(const Function& function, bool line) const;
  std::optional<StandardError> over_levels(const Function& function, bool line) const;
  double round_degrees(const Function& function) const;

  Design design_ = Design::none;
  Forms full_;
  std::vector<Forms> without_block_;
  std::vector<double> block_rounds_;  ///< rounds in each block
  double inflation_ = 1;              ///< of the jackknife's variance, for what winsorising takes from it
  std::vector<Perturbed> perturbed_;  ///< one per N
  /// By N: which pairs of rounds the trimmed mean rests on alike (round_degrees), rounds x rounds.
  std::vector<std::vector<double>> alike_;
  double scatter_r_ = 0, scatter_line_ = 0;                  ///< scatter about each form, of a log speed-up
  double scatter_r_degrees_ = 0, scatter_line_degrees_ = 0;  ///< below 1: unknown
};

}  // namespace kvcast::analysis
