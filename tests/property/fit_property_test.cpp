// Laws of the fit over drawn arguments: docs/model.md §9.
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "../unit/analysis/planted.h"
#include "analysis/fit.h"
#include "analysis/predict.h"
#include "catch.h"
#include "kvcast/cost_model.h"

namespace analysis = kvcast::analysis;
using Catch::Matchers::WithinRel;
using kvcast::testing::make_samples;
using kvcast::testing::Noise;
using kvcast::testing::Normal;
using kvcast::testing::one_parameter;

TEST_CASE("r from any two N of exact data is the same", "[analysis][fit][property]") {
  Normal draw(11);
  for (int i = 0; i < 200; ++i) {
    const double r = std::pow(10, -4 * draw.uniform());
    const auto first = 1 + static_cast<std::int64_t>(200 * draw.uniform());
    const auto second = first + 1 + static_cast<std::int64_t>(2000 * draw.uniform());
    CAPTURE(r, first, second);
    const auto samples = make_samples({first, second}, 2, 0.3, one_parameter(0.3, r));
    CHECK_THAT(analysis::fit_scheme(analysis::tabulate(samples), "shared", 1).r.value().value, WithinRel(r, 1e-9));
  }
}

TEST_CASE("slower sharing never lowers r", "[analysis][fit][property]") {
  Normal draw(12);
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Noise noise;
    noise.point = 0.02;
    auto samples = make_samples({1, 5, 50, 500}, 4, 0.3, one_parameter(0.3, 0.02), noise, seed);
    const double before = analysis::fit_scheme(analysis::tabulate(samples), "shared", 1).r->value;
    const double factor = 1 + 0.2 * draw.uniform();
    for (auto& sample : samples) {
      if (sample.scheme == "shared") sample.measured_seconds *= factor;
    }
    CHECK(analysis::fit_scheme(analysis::tabulate(samples), "shared", 1).r->value > before);
  }
}

TEST_CASE("units of time and a speed common to a round do not matter", "[analysis][fit][property]") {
  Noise noise;
  noise.round = noise.point = 0.02;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    auto samples = make_samples({1, 5, 50, 500}, 6, 0.3, one_parameter(0.3, 0.02), noise, seed);
    const auto before = analysis::fit_scheme(analysis::tabulate(samples), "shared", 1);
    for (auto& sample : samples) sample.measured_seconds *= 1000 * (1 + 0.1 * static_cast<double>(sample.round));
    const auto after = analysis::fit_scheme(analysis::tabulate(samples), "shared", 1);
    CHECK_THAT(after.r->value, WithinRel(before.r->value, 1e-9));
    CHECK_THAT(after.r->ci95->lo, WithinRel(before.r->ci95->lo, 1e-7));
    CHECK_THAT(after.model("affine")->marginal_r->value, WithinRel(before.model("affine")->marginal_r->value, 1e-9));
    CHECK(after.preferred == before.preferred);
  }
}
