// How far the rounds of a run leave its fitted forms uncertain. Pure.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

#include "analysis/levels.h"

namespace kvcast::analysis {

/// A standard error with the degrees of freedom of its Student's t.
struct StandardError {
  double value = 0, degrees = 1;
  /// Half-width of the 95% interval.
  double half_width() const;
};

/// How uncertain a function of the forms is, from one run to the next. Three designs:
///
/// Rounds that hold several N: delete-a-block jackknife. The N of one round share their prefill and the machine's
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

  /// Of a form of the list, fitted to all the data, without the bounds; nullopt: too few N.
  const std::optional<Constants>& constants(const CostForm& form) const { return full_[place(form)]; }

  /// Whether the scatter about the form, what it leaves out included, stands for the noise.
  bool by_scatter() const { return design_ == Design::scatter; }

  using Function = std::function<double(const Constants&)>;
  /// Standard error of a function of that form. nullopt where the design gives none: one pair, one round, fewer N than
  /// constants.
  std::optional<StandardError> of(const CostForm& form, const Function& function) const;

 private:
  enum class Design { none, rounds, strata, scatter };
  using Fits = std::vector<std::optional<Constants>>;  ///< by form
  struct Perturbed {
    Fits up, down;    ///< log speed-up of one N up and down by `step`
    double step = 0;  ///< its standard error; of the scatter: see scatter_
    double degrees = 0;
  };
  struct Scatter {
    double value = 0, degrees = 0;  ///< about the form, of a log speed-up; degrees below 1: unknown
  };
  static std::size_t place(const CostForm& form) { return static_cast<std::size_t>(&form - cost_forms().data()); }
  std::optional<StandardError> over_rounds(std::size_t form, const Function& function) const;
  std::optional<StandardError> over_levels(std::size_t form, const Function& function) const;
  double round_degrees(std::size_t form, const Function& function) const;

  Design design_ = Design::none;
  Fits full_;
  std::vector<Fits> without_block_;
  std::vector<double> block_rounds_;  ///< rounds in each block
  double inflation_ = 1;              ///< of the jackknife's variance, for what winsorising takes from it
  std::vector<Perturbed> perturbed_;  ///< one per N
  /// By N: which pairs of rounds the trimmed mean rests on alike (round_degrees), rounds x rounds.
  std::vector<std::vector<double>> alike_;
  std::vector<Scatter> scatter_;  ///< by form
};

}  // namespace kvcast::analysis
