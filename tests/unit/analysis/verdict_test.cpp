#include "analysis/verdict.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "catch.h"
#include "kvcast/report.h"

namespace analysis = kvcast::analysis;
using kvcast::Estimate;
using kvcast::Fit;
using kvcast::Interval;

namespace {

/// A fit at these N, with an r and its interval; the one-parameter form is off by 1% except at `off_at`, by -6%.
Fit fit_at(const std::vector<std::int64_t>& counts, double r, double lo, double hi,
           const std::string& preferred = "one-parameter", std::int64_t off_at = 0) {
  Fit fit;
  fit.scheme = "shared";
  fit.r = Estimate{r, Interval{lo, hi}};
  fit.preferred = preferred;
  for (const std::int64_t count : counts) {
    kvcast::Residual residual;
    residual.candidates = count;
    residual.speedup = {2, Interval{1.9, 2.1}};
    residual.one_parameter_pct = count == off_at ? -6.04 : 1;
    fit.residuals.push_back(residual);
  }
  analysis::put_into_words(fit);
  return fit;
}

const std::vector<std::int64_t> kCounts = {1, 5, 10, 50, 100};

}  // namespace

TEST_CASE("r is identifiable when told from 0 and from its double", "[analysis][verdict]") {
  CHECK(fit_at(kCounts, 0.02, 0.015, 0.0299).identifiable);
  CHECK_FALSE(fit_at(kCounts, 0.02, 0.015, 0.03).identifiable);
  CHECK_FALSE(fit_at(kCounts, 0.02, 0, 0.03).identifiable);
  Fit none = fit_at(kCounts, 0.02, 0.019, 0.021);
  CHECK(none.identifiable);
  none.r->ci95.reset();
  analysis::put_into_words(none);
  CHECK_FALSE(none.identifiable);
  CHECK(none.verdict == "r is not identifiable from N <= 100: so few timings give it no interval");
  CHECK(none.next == "measure more rounds: the interval of r is too wide");
}

TEST_CASE("the verdict names the form to trust", "[analysis][verdict]") {
  CHECK(fit_at(kCounts, 0.02, 0.019, 0.021, "affine", 1).verdict ==
        "trust the affine form: the one-parameter law is off by up to 6% at N=1");
  CHECK(
      fit_at(kCounts, 0.02, 0.01, 0.03, "affine", 1).verdict ==
      "trust the affine form: the one-parameter law is off by up to 6% at N=1, and r is not known to a factor of two");
  CHECK(fit_at(kCounts, 0.02, 0.019, 0.021, "one-parameter", 50).verdict ==
        "trust the one-parameter form: it is off by at most 6%, at N=50");
  CHECK(fit_at({100}, 0.02, 0.019, 0.021, "untested").verdict == "form untested: r rests on N=100 alone");
  CHECK(fit_at({1, 10, 100}, 0.02, 0.019, 0.021, "untested").verdict ==
        "form untested: r rests on two N above 1, N=10 and N=100");
  CHECK(fit_at({1, 2, 5}, 0.004, 0, 0.011).verdict ==
        "r is not identifiable from N <= 5: its interval [0, 0.011] does not exclude 0");
  CHECK(fit_at({1, 2, 5}, 0.02, 0.01, 0.04).verdict ==
        "r is not identifiable from N <= 5: its interval [0.01, 0.04] spans a factor of 4");
  CHECK(fit_at(kCounts, 1, 1, 1).verdict == "r is at its bound of 1: sharing gains nothing at these N");

  Fit only_one;
  only_one.residuals.resize(1);
  only_one.residuals[0].candidates = 1;
  analysis::put_into_words(only_one);
  CHECK(only_one.verdict == "r is unknown: N=1 alone says nothing about it");
  CHECK(only_one.next == "measure N above 1, such as N=10 and N=100");
  Fit empty;
  empty.scheme = "packed";
  analysis::put_into_words(empty);
  CHECK(empty.verdict == "nothing to fit: no round has both naive and packed");
  CHECK_FALSE(empty.next.empty());
}

TEST_CASE("what to measure next", "[analysis][verdict]") {
  CHECK(fit_at(kCounts, 0.0085, 0.008, 0.009).next.empty());
  // Not even told from 0: one over the upper end, rounded up to 1, 2 or 5.
  CHECK(fit_at({1, 2, 5}, 0.004, 0, 0.011).next ==
        "measure N=100, about 1/r: below it one more candidate costs too little to be seen");
  CHECK(fit_at({1, 2, 5}, 0.02, 0.01, 0.04).next ==
        "measure N=50, about 1/r: below it one more candidate costs too little to be seen");
  CHECK(fit_at(kCounts, 0.02, 0.01, 0.04).next == "measure more rounds: the interval of r is too wide");
  CHECK(fit_at({100}, 0.02, 0.019, 0.021, "untested").next ==
        "measure N=5 and N=10 as well: three N above 1 test the form");
  CHECK(fit_at({1, 10, 100}, 0.02, 0.019, 0.021, "untested").next ==
        "measure N=50 as well: three N above 1 test the form");
  CHECK(fit_at({1, 10, 100}, 0.001, 0.0009, 0.0011, "untested").next ==
        "measure N=1000 as well: three N above 1 test the form");
  CHECK(fit_at({1, 2, 3}, 0.3, 0.29, 0.31, "untested").next == "measure N=5 as well: three N above 1 test the form");
  CHECK(fit_at(kCounts, 0.0016, 0.0015, 0.0017).next ==
        "measure N=1000, about 1/r: most of the curve lies beyond N=100");
  CHECK(fit_at({5, 10, 50, 100}, 0.0085, 0.008, 0.009).next == "measure N=1: it shows the fixed costs of sharing bare");
  CHECK(fit_at({1, 2, 5, 200}, 0.0085, 0.008, 0.009).next == "measure N=50: nothing lies between N=5 and N=200");
}

TEST_CASE("losses are said where naive is faster beyond doubt", "[analysis][verdict]") {
  Fit fit = fit_at({1, 2, 5, 10}, 0.1, 0.09, 0.11);
  CHECK(fit.losses.empty());
  fit.residuals[0].speedup = {0.945, Interval{0.929, 0.962}};
  fit.residuals[1].speedup = {0.99, Interval{0.97, 1.01}};  // could be either
  fit.residuals[2].speedup = {0.98, {}};
  analysis::put_into_words(fit);
  CHECK(fit.losses == std::vector<std::string>{"at N=1 sharing is 5.5% slower [3.8%, 7.1%]",
                                               "at N=5 sharing is 2% slower (a single timing)"});
  // a + b·N < c·N from N = a/(c-b) = 4.5 on.
  fit.affine = kvcast::AffineFit{0.9, 0.8, 1.0};
  analysis::put_into_words(fit);
  REQUIRE(fit.losses.size() == 3);
  CHECK(fit.losses[2] == "by the affine fit sharing wins from N=5 on");
  fit.affine = kvcast::AffineFit{0.9, 1.1, 1.0};
  analysis::put_into_words(fit);
  CHECK(fit.losses.at(2) == "by the affine fit sharing wins at no N");
  // Without a loss the affine fit has nothing to add.
  for (auto& residual : fit.residuals) residual.speedup = {2, Interval{1.9, 2.1}};
  analysis::put_into_words(fit);
  CHECK(fit.losses.empty());
}
