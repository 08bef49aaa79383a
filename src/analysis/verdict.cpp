#include "analysis/verdict.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "analysis/forms/form.h"
#include "base/text.h"

namespace kvcast::analysis {
namespace {

/// Between neighbouring N further apart than this factor only the model gives the curve.
constexpr double kWideGap = 10;
/// naive is not proportional to N if its time per candidate differs by more than this factor.
constexpr double kBatchedNaive = 1.3;
/// A time that grows by more than this many times the growth of N has jumped.
constexpr double kJump = 2;
/// A time that grows by less than this factor from the smallest to the largest N is flat.
constexpr double kFlat = 1.1;
/// Costs of one more candidate that differ by more than this factor between stretches of N bend the curve.
constexpr double kBend = 1.5;

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
  for (const ObservedSpeedup& one : fit.observed) {
    if (one.candidates > 1) result.push_back(one.candidates);
  }
  return result;
}

/// Where a model is furthest off, in percent of the speed-up.
std::pair<double, std::int64_t> worst(const FittedModel& model) {
  std::pair<double, std::int64_t> result{0, model.residuals.back().candidates};
  for (const ModelResidual& residual : model.residuals) {
    const double size = std::abs(residual.pct.value_or(0));
    if (size > result.first) result = {size, residual.candidates};
  }
  return result;
}

std::string phrase_of(const FittedModel& model) { return find_form(model.name)->phrase; }

/// "the one-parameter law misses N=5 by 12%".
std::string misses(const FittedModel& model) {
  const auto [off, where] = worst(model);
  return phrase_of(model) + " misses " + at(where) + " by " + percent(off);
}

double per_candidate(const Curve::Anchor& anchor) { return anchor.value / static_cast<double>(anchor.candidates); }

std::string time_text(double seconds) {
  if (seconds >= 1) return format_significant(seconds, 3) + " s";
  return seconds >= 1e-3 ? format_significant(1e3 * seconds, 3) + " ms" : format_significant(1e6 * seconds, 3) + " us";
}

/// Two anchors beside each other between which the time grows more than N does; end() without such a pair.
std::vector<Curve::Anchor>::const_iterator jump(const std::vector<Curve::Anchor>& times) {
  return std::adjacent_find(times.begin(), times.end(), [](const Curve::Anchor& low, const Curve::Anchor& high) {
    return per_candidate(high) > kJump * per_candidate(low);
  });
}

/// Why a line does not describe the times; empty without an obvious reason.
std::string break_of(const Times& times) {
  if (times.naive.size() > 1) {
    const auto [least, most] = std::minmax_element(
        times.naive.begin(), times.naive.end(),
        [](const Curve::Anchor& x, const Curve::Anchor& y) { return per_candidate(x) < per_candidate(y); });
    if (per_candidate(*most) > kBatchedNaive * per_candidate(*least)) {
      return "naive takes " + time_text(per_candidate(*most)) + " per candidate at " + at(most->candidates) + " and " +
             time_text(per_candidate(*least)) + " at " + at(least->candidates) +
             ", so its time is not proportional to N (does naive run in batches?)";
    }
  }
  if (const auto low = jump(times.scheme); low != times.scheme.end()) {
    const Curve::Anchor& high = *std::next(low);
    return "the time jumps between " + at(low->candidates) + " and " + at(high.candidates) + ", from " +
           time_text(low->value) + " to " + time_text(high.value);
  }
  std::vector<double> slopes;
  for (std::size_t i = 1; i < times.scheme.size(); ++i) {
    const Curve::Anchor &low = times.scheme[i - 1], &high = times.scheme[i];
    slopes.push_back((high.value - low.value) / static_cast<double>(high.candidates - low.candidates));
  }
  if (slopes.size() < 2) return "";
  const double first = *std::max_element(slopes.begin(), slopes.end() - 1), last = slopes.back();
  const std::string from = at(times.scheme[times.scheme.size() - 2].candidates);
  if (last > kBend * first) return "one more candidate costs more from " + from + " on than before: the curve bends up";
  if (last < first / kBend) return "one more candidate costs less from " + from + " on than before: the curve flattens";
  return "";
}

/// Why r is not identifiable.
std::string unknown_r(const Fit& fit, std::int64_t largest) {
  const std::string from = "r is not identifiable from N <= " + std::to_string(largest) + ": ";
  if (!fit.r->ci95) return from + "too few timings for an interval";
  if (fit.r->ci95->lo <= 0) return from + "its interval " + bracketed(*fit.r->ci95) + " does not exclude 0";
  return from + "its interval " + bracketed(*fit.r->ci95) + " spans a factor of " +
         format_significant(fit.r->ci95->hi / fit.r->ci95->lo, 2);
}

/// ", where the noise is 0.5%": half of the interval of the speed-up at an N.
std::string noise_at(const Fit& fit, std::int64_t candidates) {
  for (const ObservedSpeedup& one : fit.observed) {
    if (one.candidates != candidates || !one.speedup.ci95) continue;
    const Interval& interval = *one.speedup.ci95;
    return " (noise " + percent(50 * (interval.hi - interval.lo) / one.speedup.value) + ")";
  }
  return "";
}

/// No model fits: how far each is off, and why.
std::string no_model(const Fit& fit, const Times& times) {
  std::string text =
      (fit.models.size() == 2 ? "neither model describes" : "no model describes") + std::string(" these timings: ");
  for (const FittedModel& model : fit.models) {
    const bool first = &model == &fit.models.front();
    text += (first ? "" : ", ") + misses(model) + (first ? noise_at(fit, worst(model).second) : "");
  }
  const std::string why = break_of(times);
  return text + (why.empty() ? "" : "; " + why);
}

/// Why the cost of one more candidate is unknown, where nothing is known beyond the largest N.
std::string no_slope(const Fit& fit, const Times& times) {
  const std::string largest = at(fit.observed.back().candidates);
  const double grown = times.scheme.back().value / times.scheme.front().value;
  return (grown < kFlat ? "the time is flat up to " : "the noise hides what one more candidate costs up to ") +
         largest + ", so nothing is known beyond it";
}
bool slope_unknown(const Fit& fit) { return fit.known_to == fit.observed.back().candidates; }

std::string verdict_of(const Fit& fit, const Times& times) {
  if (fit.observed.empty()) return "nothing to fit: no round has both naive and " + fit.scheme;
  const std::vector<std::int64_t> counts = above_one(fit);
  if (!fit.r) return "r is unknown: N=1 alone says nothing about it";
  const FittedModel *model = fit.in_use(), &law = fit.models.front();
  if (model == nullptr) return no_model(fit, times);
  const double size = worst(law).first;
  if (model != &law) {
    const std::string other = "model: " + model->name + " (" + misses(law) + ")";
    if (fit.identifiable) return other;
    return other + (slope_unknown(fit) ? "; " + no_slope(fit, times)
                                       : ", but the cost of one more candidate is uncertain by a factor of two");
  }
  if (fit.r->value >= 1) {
    return "sharing costs more: one more candidate takes " + format_significant(fit.r->value, 3) +
           " times a naive candidate";
  }
  if (!fit.identifiable && fit.preferred != kUntested) return unknown_r(fit, counts.back());
  if (fit.preferred == kUntested) {
    const std::string rests = counts.size() == 1 ? "model untested: r rests on " + at(counts.front()) + " alone"
                                                 : "model untested: r rests on two N above 1, " + at(counts.front()) +
                                                       " and " + at(counts.back());
    if (size > 100 * kMaxMisfit) return rests + "; " + misses(law);
    return fit.identifiable || (fit.r->ci95 && fit.r->ci95->lo > 0) ? rests : unknown_r(fit, counts.back());
  }
  return "model: one-parameter law (within " + percent(size) + " at every measured N)";
}

/// Where no model fits: N inside the jump, else next to the N that the law misses most; then larger N.
std::string next_without_model(const Fit& fit, const Times& times) {
  const std::vector<Curve::Anchor>& anchors = times.scheme;
  auto low = jump(anchors);
  if (low == anchors.end()) {
    const std::int64_t missed = worst(fit.models.front()).second;
    low = std::find_if(anchors.begin(), anchors.end() - 2,
                       [missed](const Curve::Anchor& anchor) { return anchor.candidates >= missed; });
  }
  const std::int64_t from = low->candidates, to = std::next(low)->candidates;
  const double middle = std::sqrt(static_cast<double>(from) * static_cast<double>(to));
  const double step = std::pow(10.0, std::max(0.0, std::floor(std::log10(middle)) - 1));
  const std::int64_t between = std::llround(middle / step) * std::llround(step);
  const std::string beyond = "larger N if you need them: nothing is known beyond " + at(anchors.back().candidates);
  if (between <= from || between >= to) return "measure " + beyond;
  return "measure " + at(between) + ", between " + at(from) + " and " + at(to) + ", and " + beyond;
}

std::string next_of(const Fit& fit, const Times& times) {
  if (fit.observed.empty()) return "time naive and " + fit.scheme + " in the same rounds, at N=1 and at N above 1";
  const std::vector<std::int64_t> counts = above_one(fit);
  if (!fit.r) return "measure N above 1, such as N=10 and N=100";
  const FittedModel* model = fit.in_use();
  if (model == nullptr) return next_without_model(fit, times);
  const std::int64_t largest = counts.back();
  const std::string larger = "measure larger N, such as " + at(round_up_125(4 * static_cast<double>(largest))) +
                             ": up to " + at(largest) + " one more candidate costs too little to measure";
  if (!model->marginal_r) return larger;
  const Estimate& slope = *model->marginal_r;
  if (slope.value >= 1) return {};
  if (slope.ci95 && !(slope.ci95->lo > 0)) return larger;
  const double reach = 1 / slope.value;
  const bool short_of_r = static_cast<double>(largest) < reach / 2 && reach < 1e9;
  const std::int64_t wanted = short_of_r ? round_up_125(reach) : 0;
  if (!fit.identifiable) {
    if (short_of_r && slope.ci95)
      return "measure " + at(wanted) + ", about 1/r: below it one more candidate costs too little to measure";
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
    return "measure " + list + " as well: testing the model takes three N above 1";
  }
  if (short_of_r) return "measure " + at(wanted) + ", about 1/r: most of the curve lies beyond " + at(largest);
  if (fit.observed.front().candidates > 1) return "measure N=1: it isolates the fixed cost of sharing";
  for (std::size_t i = 1; i < counts.size(); ++i) {
    const auto low = static_cast<double>(counts[i - 1]), high = static_cast<double>(counts[i]);
    if (high > kWideGap * low) {
      return "measure " + at(round_up_125(std::sqrt(low * high))) + ": nothing lies between " + at(counts[i - 1]) +
             " and " + at(counts[i]);
    }
  }
  return {};
}

/// N beyond which no crossing is reported.
constexpr std::int64_t kFarthest = 1'000'000'000;

/// The smallest N at which a model's speed-up is above 1; nullopt: at no N, where one more candidate costs no less than
/// a naive one.
std::optional<std::int64_t> wins_from(const FittedModel& model) {
  const CostForm& form = *find_form(model.name);
  const Constants constants = constants_of(form, model);
  if (form.slope(constants) >= 1) return std::nullopt;
  return first_candidates(kFarthest,
                          [&](std::int64_t n) { return form.speedup(constants, static_cast<double>(n)) > 1; });
}

std::vector<std::string> slowdowns_of(const Fit& fit) {
  std::vector<std::string> slowdowns;
  for (const ObservedSpeedup& one : fit.observed) {
    const Estimate& speedup = one.speedup;
    const double loss = 100 * (1 - speedup.value);
    if (loss < kExactPct || (speedup.ci95 && speedup.ci95->hi >= 1)) continue;
    std::string text = "at " + at(one.candidates) + " sharing costs " + percent(loss) + " ";
    text += speedup.ci95
                ? "[" + percent(100 * (1 - speedup.ci95->hi)) + ", " + percent(100 * (1 - speedup.ci95->lo)) + "]"
                : "(a single timing)";
    slowdowns.push_back(std::move(text));
  }
  const FittedModel* used = fit.in_use();
  if (slowdowns.empty() || used == nullptr) return slowdowns;
  // The law never crosses 1.
  const FittedModel* model = used == &fit.models.front() ? fit.model(affine_form().name) : used;
  if (model == nullptr) return slowdowns;
  if (const auto from = wins_from(*model); from && *from < kFarthest) {
    slowdowns.push_back("by " + phrase_of(*model) + ", sharing wins from " + at(*from) + " on");
  } else if (!from) {
    slowdowns.push_back("by " + phrase_of(*model) + ", sharing wins at no N");
  }
  return slowdowns;
}

}  // namespace

void put_into_words(Fit& fit, const Times& times) {
  fit.verdict = verdict_of(fit, times);
  fit.next = next_of(fit, times);
  fit.slowdowns = slowdowns_of(fit);
}

}  // namespace kvcast::analysis
