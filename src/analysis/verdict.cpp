#include "analysis/verdict.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"

namespace kvcast::analysis {
namespace {

/// r is told apart from its double when its interval is narrower than this factor.
constexpr double kIdentifiableFactor = 2;
/// N above 1 that test the form.
constexpr std::size_t kMinTestedN = 3;
/// Neighbouring N further apart than this factor leave the curve between them to the form.
constexpr double kWideGap = 10;
/// Losses below this, in percent, are rounding.
constexpr double kExactPct = 1e-6;

std::string at(std::int64_t candidates) { return "N=" + std::to_string(candidates); }
std::string percent(double value) { return format_significant(value, 2) + "%"; }
std::string bracketed(const Interval& interval) {
  return "[" + format_significant(interval.lo, 2) + ", " + format_significant(interval.hi, 2) + "]";
}

/// The smallest of 1, 2, 5, 10, 20, … that is not below `value`.
std::int64_t round_up_125(double value) {
  std::int64_t power = 1;
  while (10 * static_cast<double>(power) <= value) power *= 10;
  for (const std::int64_t step : {1, 2, 5}) {
    if (static_cast<double>(step * power) >= value) return step * power;
  }
  return 10 * power;
}

std::vector<std::int64_t> above_one(const Fit& fit) {
  std::vector<std::int64_t> result;
  for (const Residual& residual : fit.residuals) {
    if (residual.candidates > 1) result.push_back(residual.candidates);
  }
  return result;
}

/// Where the one-parameter form is furthest off.
std::pair<double, std::int64_t> worst(const Fit& fit) {
  std::pair<double, std::int64_t> result{0, fit.residuals.back().candidates};
  for (const Residual& residual : fit.residuals) {
    const double size = std::abs(residual.one_parameter_pct.value_or(0));
    if (size > result.first) result = {size, residual.candidates};
  }
  return result;
}

/// Why r is not identifiable.
std::string unknown_r(const Fit& fit, std::int64_t largest) {
  const std::string from = "r is not identifiable from N <= " + std::to_string(largest) + ": ";
  if (!fit.r->ci95) return from + "so few timings give it no interval";
  if (fit.r->ci95->lo <= 0) return from + "its interval " + bracketed(*fit.r->ci95) + " does not exclude 0";
  return from + "its interval " + bracketed(*fit.r->ci95) + " spans a factor of " +
         format_significant(fit.r->ci95->hi / fit.r->ci95->lo, 2);
}

std::string verdict_of(const Fit& fit) {
  if (fit.residuals.empty()) return "nothing to fit: no round has both naive and " + fit.scheme;
  const std::vector<std::int64_t> counts = above_one(fit);
  if (!fit.r) return "r is unknown: N=1 alone says nothing about it";
  const auto [size, where] = worst(fit);
  if (fit.preferred == "affine") {
    const std::string affine =
        "trust the affine form: the one-parameter law is off by up to " + percent(size) + " at " + at(where);
    return fit.identifiable ? affine : affine + ", and r is not known to a factor of two";
  }
  if (fit.r->value >= 1) return "r is at its bound of 1: sharing gains nothing at these N";
  if (!fit.identifiable) return unknown_r(fit, counts.back());
  if (counts.size() == 1) return "form untested: r rests on " + at(counts.front()) + " alone";
  if (fit.preferred == "untested") {
    return "form untested: r rests on two N above 1, " + at(counts.front()) + " and " + at(counts.back());
  }
  return "trust the one-parameter form: it is off by at most " + percent(size) + ", at " + at(where);
}

std::string next_of(const Fit& fit) {
  if (fit.residuals.empty()) return "time naive and " + fit.scheme + " in the same rounds, at N=1 and at N above 1";
  const std::vector<std::int64_t> counts = above_one(fit);
  if (!fit.r) return "measure N above 1, such as N=10 and N=100";
  if (fit.r->value >= 1) return {};
  const std::int64_t largest = counts.back();
  // Where r itself may be 0, no N below one over its upper end can show it.
  const bool above_zero = !fit.r->ci95 || fit.r->ci95->lo > 0;
  const double reach = 1 / (above_zero ? fit.r->value : fit.r->ci95->hi);
  const bool short_of_r = static_cast<double>(largest) < reach / 2 && reach < 1e9;
  const std::int64_t wanted = short_of_r ? round_up_125(reach) : 0;
  if (!fit.identifiable) {
    if (short_of_r && fit.r->ci95)
      return "measure " + at(wanted) + ", about 1/r: below it one more candidate costs too little to be seen";
    return "measure more rounds: the interval of r is too wide";
  }
  if (counts.size() < kMinTestedN) {
    std::vector<std::int64_t> more;
    if (short_of_r) more.push_back(wanted);
    const double low = counts.size() == 1 ? 1 : static_cast<double>(counts.front());
    for (double part = 0.5; counts.size() + more.size() < kMinTestedN && part > 0.1; part /= 2) {
      const std::int64_t between = round_up_125(low * std::pow(static_cast<double>(largest) / low, part));
      const bool known = std::find(counts.begin(), counts.end(), between) != counts.end() ||
                         std::find(more.begin(), more.end(), between) != more.end();
      if (between > 1 && !known) more.push_back(between);
    }
    if (counts.size() + more.size() < kMinTestedN) more.push_back(round_up_125(2 * static_cast<double>(largest)));
    std::sort(more.begin(), more.end());
    std::string list;
    for (const std::int64_t count : more) list += (list.empty() ? "" : " and ") + at(count);
    return "measure " + list + " as well: three N above 1 test the form";
  }
  if (short_of_r) return "measure " + at(wanted) + ", about 1/r: most of the curve lies beyond " + at(largest);
  if (fit.residuals.front().candidates > 1) return "measure N=1: it shows the fixed costs of sharing bare";
  for (std::size_t i = 1; i < counts.size(); ++i) {
    const auto low = static_cast<double>(counts[i - 1]), high = static_cast<double>(counts[i]);
    if (high > kWideGap * low) {
      return "measure " + at(round_up_125(std::sqrt(low * high))) + ": nothing lies between " + at(counts[i - 1]) +
             " and " + at(counts[i]);
    }
  }
  return {};
}

std::vector<std::string> losses_of(const Fit& fit) {
  std::vector<std::string> losses;
  for (const Residual& residual : fit.residuals) {
    const Estimate& speedup = residual.speedup;
    const double loss = 100 * (1 - speedup.value);
    if (loss < kExactPct || (speedup.ci95 && speedup.ci95->hi >= 1)) continue;
    std::string text = "at " + at(residual.candidates) + " sharing is " + percent(loss) + " slower ";
    text += speedup.ci95
                ? "[" + percent(100 * (1 - speedup.ci95->hi)) + ", " + percent(100 * (1 - speedup.ci95->lo)) + "]"
                : "(a single timing)";
    losses.push_back(std::move(text));
  }
  if (losses.empty() || !fit.affine) return losses;
  const double gain = fit.affine->naive_candidate_s - fit.affine->candidate_s;
  if (gain <= 0) {
    losses.push_back("by the affine fit sharing wins at no N");
  } else if (const double from = fit.affine->user_s / gain; from < 1e9) {
    losses.push_back("by the affine fit sharing wins from " + at(static_cast<std::int64_t>(from) + 1) + " on");
  }
  return losses;
}

}  // namespace

void put_into_words(Fit& fit) {
  const bool interval = fit.r && fit.r->ci95;
  fit.identifiable = interval && fit.r->ci95->lo > 0 && fit.r->ci95->hi < kIdentifiableFactor * fit.r->ci95->lo;
  fit.verdict = verdict_of(fit);
  fit.next = next_of(fit);
  fit.losses = losses_of(fit);
}

}  // namespace kvcast::analysis
