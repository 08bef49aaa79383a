#include "analysis/verdict.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "catch.h"
#include "fitted_models.h"
#include "kvcast/report.h"

namespace analysis = kvcast::analysis;
using kvcast::Estimate;
using kvcast::Fit;
using kvcast::Interval;
using kvcast::testing::affine_model;
using kvcast::testing::law_model;

namespace {

/// Shared times that grow with N, naive's c N.
analysis::Times line_of(const std::vector<std::int64_t>& counts) {
  analysis::Times times;
  for (const std::int64_t count : counts) {
    const auto n = static_cast<double>(count);
    times.naive.push_back({count, 0.1 * n});
    times.scheme.push_back({count, 0.1 + 0.01 * n});
  }
  return times;
}

/// A fit at these N, with an r and its interval; the one-parameter form is off by 1% except at `off_at`, by -6%.
Fit fit_at(const std::vector<std::int64_t>& counts, double r, double lo, double hi,
           const std::string& preferred = "one-parameter", std::int64_t off_at = 0) {
  Fit fit;
  fit.scheme = "shared";
  fit.r = Estimate{r, Interval{lo, hi}};
  fit.preferred = preferred;
  fit.models = {law_model(r)};
  fit.models[0].marginal_r = fit.r;
  for (const std::int64_t count : counts) {
    fit.observed.push_back({count, {2, Interval{1.9, 2.1}}});
    fit.models[0].residuals.push_back({count, count == off_at ? -6.04 : 1, {}});
  }
  if (preferred == "affine" || preferred == "neither") {
    fit.models.push_back(affine_model(1 - r, r, 1));
    fit.models[1].marginal_r = fit.r;
    fit.models[1].residuals = fit.models[0].residuals;
  }
  fit.identifiable = lo > 0 && hi < 2 * lo;
  fit.known_to = (lo > 0 ? 4 : 1) * counts.back();
  analysis::put_into_words(fit, line_of(counts));
  return fit;
}

const std::vector<std::int64_t> kCounts = {1, 5, 10, 50, 100};

}  // namespace

TEST_CASE("the verdict names the form that describes the timings", "[analysis][verdict]") {
  CHECK(fit_at(kCounts, 0.02, 0.019, 0.021, "affine", 1).verdict ==
        "model: affine (the one-parameter law misses N=1 by 6%)");
  CHECK(fit_at(kCounts, 0.02, 0.01, 0.03, "affine", 1).verdict ==
        "model: affine (the one-parameter law misses N=1 by 6%), but the cost of one more candidate is uncertain by a "
        "factor of two");
  CHECK(fit_at(kCounts, 0.02, 0.019, 0.021, "one-parameter", 50).verdict ==
        "model: one-parameter law (within 6% at every measured N)");
  CHECK(fit_at({100}, 0.02, 0.019, 0.021, "untested").verdict == "model untested: r rests on N=100 alone");
  CHECK(fit_at({1, 10, 100}, 0.02, 0.019, 0.021, "untested").verdict ==
        "model untested: r rests on two N above 1, N=10 and N=100");
  CHECK(fit_at({1, 2, 5}, 0.004, 0, 0.011).verdict ==
        "r is not identifiable from N <= 5: its interval [0, 0.011] does not exclude 0");
  CHECK(fit_at({1, 2, 5}, 0.02, 0.01, 0.04).verdict ==
        "r is not identifiable from N <= 5: its interval [0.01, 0.04] spans a factor of 4");
  CHECK(fit_at(kCounts, 1.1, 1.09, 1.11).verdict ==
        "sharing costs more: one more candidate takes 1.1 times a naive candidate");

  Fit none = fit_at(kCounts, 0.02, 0.019, 0.021);
  none.r->ci95.reset();
  none.identifiable = false;
  analysis::put_into_words(none, line_of(kCounts));
  CHECK(none.verdict == "r is not identifiable from N <= 100: too few timings for an interval");
  CHECK(none.next == "measure more rounds: the interval of r is too wide");

  Fit only_one;
  only_one.observed.resize(1);
  only_one.observed[0].candidates = 1;
  analysis::put_into_words(only_one, line_of({1}));
  CHECK(only_one.verdict == "r is unknown: N=1 alone says nothing about it");
  CHECK(only_one.next == "measure N above 1, such as N=10 and N=100");
  Fit empty;
  empty.scheme = "packed";
  analysis::put_into_words(empty, {});
  CHECK(empty.verdict == "nothing to fit: no round has both naive and packed");
  CHECK_FALSE(empty.next.empty());
}

TEST_CASE("a verdict of no model says how far off they are and what breaks them", "[analysis][verdict]") {
  const auto verdict = [](const analysis::Times& times) {
    Fit fit = fit_at(kCounts, 0.02, 0.019, 0.021, "neither", 50);
    fit.known_to = 100;
    fit.identifiable = false;
    analysis::put_into_words(fit, times);
    return std::pair(fit.verdict, fit.next);
  };
  const std::string off =
      "neither model describes these timings: the one-parameter law misses N=50 by 6% (noise 5%), "
      "the affine model misses N=50 by 6%";
  analysis::Times times = line_of(kCounts);
  CHECK(verdict(times).first == off);
  CHECK(verdict(times).second ==
        "measure N=71, between N=50 and N=100, and larger N if you need them: nothing is known beyond N=100");
  // A cliff.
  times.scheme[4].value = 5;
  CHECK(verdict(times).first == off + "; the time jumps between N=50 and N=100, from 600 ms to 5 s");
  times = line_of(kCounts);
  for (std::size_t i = 1; i < times.scheme.size(); ++i) times.scheme[i].value *= 40;
  CHECK(verdict(times).first == off + "; the time jumps between N=1 and N=5, from 110 ms to 6 s");
  CHECK(verdict(times).second ==
        "measure N=2, between N=1 and N=5, and larger N if you need them: nothing is known beyond N=100");
  // A curve, and a plateau.
  times = line_of(kCounts);
  times.scheme[4].value = 1.5;
  CHECK(verdict(times).first == off + "; one more candidate costs more from N=50 on than before: the curve bends up");
  times.scheme[4].value = 0.65;
  CHECK(verdict(times).first == off + "; one more candidate costs less from N=50 on than before: the curve flattens");
  // Naive in batches.
  times = line_of(kCounts);
  for (auto& anchor : times.naive) anchor.value = 0.1 + 0.02 * static_cast<double>(anchor.candidates);
  CHECK(verdict(times).first ==
        off +
            "; naive takes 120 ms per candidate at N=1 and 21 ms at N=100, so its time is not proportional to N (does "
            "naive run in batches?)");
}

TEST_CASE("timings that do not tell the cost of one more candidate ask for larger N", "[analysis][verdict]") {
  Fit flat = fit_at(kCounts, 0.02, 0.019, 0.021, "affine", 1);
  flat.models[1].marginal_r.reset();
  flat.known_to = 100;
  flat.identifiable = false;
  analysis::Times times = line_of(kCounts);
  for (auto& anchor : times.scheme) anchor.value = 5.9;
  analysis::put_into_words(flat, times);
  CHECK(flat.verdict ==
        "model: affine (the one-parameter law misses N=1 by 6%); the time is flat up to N=100, so nothing is known "
        "beyond it");
  CHECK(flat.next == "measure larger N, such as N=500: up to N=100 one more candidate costs too little to measure");
  flat.models[1].marginal_r = Estimate{0.01, Interval{0, 0.03}};
  analysis::put_into_words(flat, line_of(kCounts));
  CHECK(flat.verdict ==
        "model: affine (the one-parameter law misses N=1 by 6%); the noise hides what one more candidate costs up to "
        "N=100, so nothing is known beyond it");
}

TEST_CASE("what to measure next", "[analysis][verdict]") {
  CHECK(fit_at(kCounts, 0.0085, 0.008, 0.009).next.empty());
  CHECK(fit_at({1, 2, 5}, 0.004, 0, 0.011).next ==
        "measure larger N, such as N=20: up to N=5 one more candidate costs too little to measure");
  CHECK(fit_at({1, 2, 5}, 0.02, 0.01, 0.04).next ==
        "measure N=50, about 1/r: below it one more candidate costs too little to measure");
  CHECK(fit_at(kCounts, 0.02, 0.01, 0.04).next == "measure more rounds: the interval of r is too wide");
  CHECK(fit_at({100}, 0.02, 0.019, 0.021, "untested").next ==
        "measure N=5 and N=10 as well: testing the model takes three N above 1");
  CHECK(fit_at({1, 10, 100}, 0.02, 0.019, 0.021, "untested").next ==
        "measure N=50 as well: testing the model takes three N above 1");
  CHECK(fit_at({1, 10, 100}, 0.001, 0.0009, 0.0011, "untested").next ==
        "measure N=1000 as well: testing the model takes three N above 1");
  CHECK(fit_at({1, 2, 3}, 0.3, 0.29, 0.31, "untested").next ==
        "measure N=5 as well: testing the model takes three N above 1");
  CHECK(fit_at(kCounts, 0.0016, 0.0015, 0.0017).next ==
        "measure N=1000, about 1/r: most of the curve lies beyond N=100");
  CHECK(fit_at({5, 10, 50, 100}, 0.0085, 0.008, 0.009).next == "measure N=1: it isolates the fixed cost of sharing");
  CHECK(fit_at({1, 2, 5, 200}, 0.0085, 0.008, 0.009).next == "measure N=50: nothing lies between N=5 and N=200");
}

TEST_CASE("slowdowns are said where naive is faster beyond doubt", "[analysis][verdict]") {
  Fit fit = fit_at({1, 2, 5, 10}, 0.1, 0.09, 0.11);
  CHECK(fit.slowdowns.empty());
  fit.observed[0].speedup = {0.945, Interval{0.929, 0.962}};
  fit.observed[1].speedup = {0.99, Interval{0.97, 1.01}};  // could be either
  fit.observed[2].speedup = {0.98, {}};
  analysis::put_into_words(fit, line_of({1, 2, 5, 10}));
  CHECK(fit.slowdowns == std::vector<std::string>{"at N=1 sharing costs 5.5% [3.8%, 7.1%]",
                                                  "at N=5 sharing costs 2% (a single timing)"});
  // a + b·N < c·N from N = a/(c-b) = 4.5 on.
  fit.models.push_back(affine_model(0.9, 0.8, 1.0));
  analysis::put_into_words(fit, line_of({1, 2, 5, 10}));
  REQUIRE(fit.slowdowns.size() == 3);
  CHECK(fit.slowdowns[2] == "by the affine model, sharing wins from N=5 on");
  fit.models[1] = affine_model(0.9, 1.1, 1.0);
  analysis::put_into_words(fit, line_of({1, 2, 5, 10}));
  CHECK(fit.slowdowns.at(2) == "by the affine model, sharing wins at no N");
  // Without a loss the affine fit has nothing to add.
  for (auto& one : fit.observed) one.speedup = {2, Interval{1.9, 2.1}};
  analysis::put_into_words(fit, line_of({1, 2, 5, 10}));
  CHECK(fit.slowdowns.empty());
}
