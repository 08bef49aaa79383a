#include "analysis/degradation.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "analysis/composition.h"
#include "catch.h"
#include "kvcast/cost_model.h"
#include "rows.h"
#include "statistics/statistics.h"

namespace analysis = kvcast::analysis;
using kvcast::Degradation;
using kvcast::Sample;
using kvcast::Status;
using kvcast::testing::row;

namespace {

const std::vector<std::string> kBoth = {"naive", "shared"};

/// Seconds per candidate of naive and of the head, and of a shared request.
struct Times {
  double naive = 2e-3, head = 3e-3, history = 2e-3, each = 0.1e-3;
  double shared(double n) const { return history + each * n; }
};

/// The factors are of the timings with the scheme, a round each.
std::vector<Sample> make_samples(const Times& t, const std::vector<std::int64_t>& counts,
                                 const std::vector<double>& factors = {1, 1, 1}) {
  std::vector<Sample> samples;
  for (std::size_t k = 0; k < factors.size(); ++k) {
    const auto round = static_cast<std::int64_t>(k);
    // A machine of another speed in each round, which cancels.
    const double speed = 1 + 0.1 * static_cast<double>(k);
    for (const std::int64_t n : counts) {
      const auto count = static_cast<double>(n);
      const auto add = [&](const char* scheme, double seconds) {
        samples.push_back(row(scheme, n, round, Status::measured, speed * seconds));
      };
      add("naive", t.naive * count);
      add("shared", t.shared(count));
      add("head", t.head * count);
      add("naive+head", factors[k] * (t.naive + t.head) * count);
      add("shared+head", factors[k] * (t.shared(count) + t.head * count));
    }
  }
  return samples;
}

/// Differences of a few numbers near 1.
constexpr double kRounding = 1e-13;

bool near(double a, double b) { return std::abs(a - b) <= kRounding; }

}  // namespace

TEST_CASE("planted drops come back exactly, in order", "[analysis][degradation]") {
  const Times t;
  const auto rows = analysis::degradation(analysis::tabulate(make_samples(t, {1, 10, 100})), kBoth);
  REQUIRE(rows.size() == 6);
  std::size_t i = 0;
  for (const std::int64_t n : {1, 10, 100}) {
    const auto count = static_cast<double>(n);
    const double head = t.head * count, speedup = t.naive * count / t.shared(count);
    for (const std::string scheme : {"naive", "shared"}) {
      const Degradation& one = rows[i++];
      CAPTURE(n, scheme);
      CHECK(one.candidates == n);
      CHECK(one.scheme == scheme);
      CHECK(one.status == Status::measured);
      const double model = scheme == "naive" ? t.naive * count : t.shared(count);
      CHECK(near(one.head_s, 1.1 * head));  // the middle round
      CHECK(near(one.with_s, 1.1 * (head + model)));
      CHECK(near(one.drop.value, model / (model + head)));
      REQUIRE(one.drop.ci95);
      CHECK(near(one.drop.ci95->lo, one.drop.value));
      CHECK(near(one.drop.ci95->hi, one.drop.value));
      if (scheme == "naive") {
        CHECK_FALSE(one.drop_design_note);
        CHECK_FALSE(one.drop_exact);
      } else {
        CHECK(near(*one.drop_design_note, 0.4 / speedup));
        // Exact algebra is exact: times that add up give the drop that was planted.
        CHECK(near(*one.drop_exact, one.drop.value));
      }
    }
  }
}

TEST_CASE("a drop has the interval of the ratio, carried over", "[analysis][degradation]") {
  const Times t;
  const std::vector<double> factors = {1, 1.02, 0.97, 1.01, 1};
  const auto rows = analysis::degradation(analysis::tabulate(make_samples(t, {5}, factors)), kBoth);
  REQUIRE(rows.size() == 2);
  std::vector<double> ratios;
  for (const double factor : factors) ratios.push_back(factor * (t.naive + t.head) / t.head);
  const kvcast::Estimate ratio = kvcast::ratio_of_run(ratios);
  CHECK(near(rows[0].drop.value, 1 - 1 / ratio.value));
  CHECK(near(rows[0].drop.ci95->lo, 1 - 1 / ratio.ci95->lo));
  CHECK(near(rows[0].drop.ci95->hi, 1 - 1 / ratio.ci95->hi));
  CHECK(rows[0].drop.ci95->lo < rows[0].drop.value);
  CHECK(rows[0].drop.value < rows[0].drop.ci95->hi);
}

TEST_CASE("rounds of another machine are left out of a drop", "[analysis][degradation]") {
  std::vector<Sample> samples = make_samples(Times{}, {5}, {1, 1, 1, 1});
  for (Sample& sample : samples) {
    if (sample.round != 3 || sample.scheme != "naive+head") continue;
    sample.measured_seconds *= 3;
    sample.canary_ratio = 0.4;
  }
  CHECK(near(analysis::degradation(analysis::tabulate(samples), kBoth)[0].drop.value, 0.4));
}

TEST_CASE("assembled and scaled timings give a drop of their status", "[analysis][degradation]") {
  const Times t;
  std::vector<Sample> samples = make_samples(t, {200});
  for (Sample& sample : samples) {
    if (sample.scheme == "naive+head") {
      sample.status = Status::extrapolated;
      sample.measured_candidates = 100;
      sample.measured_seconds /= 2;
    } else if (sample.scheme == "shared+head") {
      sample.status = Status::assembled;
    }
  }
  const auto rows = analysis::degradation(analysis::tabulate(samples), kBoth);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].status == Status::extrapolated);
  CHECK(rows[1].status == Status::assembled);
  CHECK(near(rows[0].drop.value, 0.4));
}

TEST_CASE("what was not timed has no drop, and nothing is made up for it", "[analysis][degradation]") {
  const std::vector<Sample> all = make_samples(Times{}, {5});
  const auto without = [&](const std::vector<std::string>& names) {
    std::vector<Sample> rest = all;
    std::erase_if(rest, [&](const Sample& s) { return std::count(names.begin(), names.end(), s.scheme) > 0; });
    return analysis::degradation(analysis::tabulate(rest), kBoth);
  };
  CHECK(without({"head"}).empty());
  CHECK(without({"naive+head", "shared+head"}).empty());
  REQUIRE(without({"naive+head"}).size() == 1);
  CHECK(without({"naive+head"})[0].scheme == "shared");
  CHECK_FALSE(without({"naive+head"})[0].drop_exact);
  CHECK_FALSE(without({"shared"})[1].drop_design_note);
  CHECK_FALSE(without({"naive"})[1].drop_exact);
  CHECK(analysis::degradation(analysis::tabulate(all), {"naive"}).size() == 1);
}

TEST_CASE("the head is no scheme to what is watched and checked", "[analysis][degradation]") {
  std::vector<Sample> samples = make_samples(Times{}, {5});
  CHECK(analysis::watched_values(analysis::tabulate(samples)).size() == 1);  // shared over naive
  for (const char* name : {"head", "naive+head", "shared+head"}) CHECK(kvcast::TimingId(name).with_head);
  for (const char* name : {"naive", "shared", "header", "packed-10"}) CHECK_FALSE(kvcast::TimingId(name).with_head);
  // Naive alone is watched by its times even when the head runs behind it.
  std::erase_if(samples, [](const Sample& s) { return s.scheme.text().starts_with("shared"); });
  REQUIRE(analysis::watched_values(analysis::tabulate(samples)).size() == 1);
  CHECK(near(analysis::watched_values(analysis::tabulate(samples))[0][0].second, 5 * Times{}.naive));
  std::vector<Sample> both = make_samples(Times{}, {5});
  for (Sample sample : make_samples(Times{}, {5})) {
    sample.status = Status::assembled;
    sample.measured_seconds *= 2;
    both.push_back(sample);
  }
  for (const auto& check : analysis::check_composition(analysis::tabulate(both), 0.02))
    CHECK_FALSE(kvcast::TimingId(check.scheme).with_head);
}
