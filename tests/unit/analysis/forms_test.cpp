// What every cost model of the list must do, and its formulas against its code.
#include <cctype>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "analysis/fit.h"
#include "analysis/forms/form.h"
#include "catch.h"
#include "planted.h"

using Catch::Matchers::WithinRel;
using kvcast::analysis::Constants;
using kvcast::analysis::CostForm;
namespace analysis = kvcast::analysis;

namespace {

/// What a formula of names, numbers, + - * / and brackets comes to.
class Formula {
 public:
  Formula(const std::string& text, const std::map<std::string, double>& names) : text_(text), names_(names) {}
  double value() {
    const double sum = sum_of();
    REQUIRE(at_ == text_.size());
    return sum;
  }

 private:
  bool take(char wanted) { return at_ < text_.size() && text_[at_] == wanted && ++at_ > 0; }
  double sum_of() {
    double value = product_of();
    while (true) {
      if (take('+')) {
        value += product_of();
      } else if (take('-')) {
        value -= product_of();
      } else {
        return value;
      }
    }
  }
  double product_of() {
    double value = factor_of();
    while (true) {
      if (take('*')) {
        value *= factor_of();
      } else if (take('/')) {
        value /= factor_of();
      } else {
        return value;
      }
    }
  }
  double factor_of() {
    if (take('(')) {
      const double value = sum_of();
      REQUIRE(take(')'));
      return value;
    }
    std::size_t end = at_;
    while (end < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[end])) || text_[end] == '.')) ++end;
    const std::string word = text_.substr(at_, end - at_);
    REQUIRE_FALSE(word.empty());
    at_ = end;
    if (std::isdigit(static_cast<unsigned char>(word.front()))) return std::stod(word);
    INFO(word << " in " << text_);
    REQUIRE(names_.contains(word));
    return names_.at(word);
  }

  const std::string& text_;
  const std::map<std::string, double>& names_;
  std::size_t at_ = 0;
};

/// Constants within the bounds of every form: small positive numbers.
std::vector<Constants> examples(const CostForm& form) {
  std::vector<Constants> all;
  for (const double scale : {0.5, 0.02, 0.0007}) {
    Constants constants;
    for (std::size_t i = 0; i < form.parameters.size(); ++i) constants.push_back(scale * static_cast<double>(1 + i));
    all.push_back(constants);
  }
  return all;
}

std::vector<analysis::LogPoint> exact_points(const CostForm& form, const Constants& constants) {
  std::vector<analysis::LogPoint> points;
  for (const double n : {1.0, 3.0, 10.0, 40.0, 200.0, 1000.0}) {
    points.push_back({n, std::log(form.speedup(constants, n)), 1e-5});
  }
  return points;
}

}  // namespace

TEST_CASE("the list of cost models begins with the law, and names are told apart", "[analysis][forms]") {
  REQUIRE(analysis::cost_forms().size() >= 2);
  CHECK(std::string(analysis::cost_forms().front().name) == "one-parameter");
  std::set<std::string> names;
  for (const CostForm& form : analysis::cost_forms()) {
    CHECK(names.insert(form.name).second);
    CHECK(std::string(form.name) != kvcast::kNoModel);
    CHECK(std::string(form.name) != kvcast::kUntested);
    CHECK(analysis::find_form(form.name) == &form);
    CHECK((form.beyond_law == nullptr) == (&form == &analysis::cost_forms().front()));
  }
  CHECK(analysis::find_form("cubic") == nullptr);
}

TEST_CASE("every cost model is recovered from exact speed-ups, by every way it is fitted", "[analysis][forms]") {
  for (const CostForm& form : analysis::cost_forms()) {
    for (const Constants& planted : examples(form)) {
      INFO(form.name << " " << planted.front());
      const auto points = exact_points(form, planted);
      for (const auto& fitted : {form.fit(points), form.bounded(points)}) {
        REQUIRE(fitted);
        for (std::size_t i = 0; i < planted.size(); ++i) CHECK_THAT((*fitted)[i], WithinRel(planted[i], 1e-6));
        for (const auto& point : points) CHECK(std::abs(form.residual(*fitted, point)) < 1e-7);
      }
      CHECK_FALSE(form.fit(std::vector(points.begin(), points.begin() + static_cast<std::ptrdiff_t>(form.least) - 1)));
      // The slope is the time of one more candidate far out, and the time is that of the speed-up.
      const double far = 1e9;
      CHECK_THAT(form.time(planted, 2 * far) - form.time(planted, far), WithinRel(far * form.slope(planted), 1e-6));
      CHECK_THAT(form.speedup(planted, 40), WithinRel(40 / form.time(planted, 40), 1e-12));
    }
  }
}

TEST_CASE("the formulas of a model come to what its code does, in seconds too", "[analysis][forms]") {
  for (const CostForm& form : analysis::cost_forms()) {
    for (const Constants& constants : examples(form)) {
      const double naive_s = 0.125;
      kvcast::FittedModel model = kvcast::unfitted_model(form.name);
      std::map<std::string, double> names;
      for (std::size_t i = 0; i < model.parameters.size(); ++i) {
        kvcast::FittedParameter& one = model.parameters[i];
        CHECK(std::isnan(one.value));
        if (i == form.parameters.size()) {  // the naive candidate behind those in seconds
          CHECK(one.symbol == analysis::kNaiveSymbol);
          one.value = naive_s;
        } else {
          one.value = constants[i] * (form.parameters[i].seconds ? naive_s : 1);
        }
        CHECK(names.emplace(one.symbol, one.value).second);
      }
      INFO(form.name << " " << constants.front());
      for (const double n : {1.0, 7.0, 150.0, 1e6}) {
        names["N"] = n;
        CHECK_THAT(Formula(model.formula, names).value(), WithinRel(form.speedup(constants, n), 1e-12));
        CHECK_THAT(kvcast::modelled_speedup(model, n), WithinRel(form.speedup(constants, n), 1e-12));
      }
      CHECK_THAT(Formula(model.limit, names).value(), WithinRel(1 / form.slope(constants), 1e-12));
      const double ninety = Formula(model.for_90, names).value();
      if (ninety >= 1) CHECK_THAT(form.speedup(constants, ninety) * form.slope(constants), WithinRel(0.9, 1e-9));
    }
  }
  CHECK(std::isnan(kvcast::modelled_speedup(kvcast::unfitted_model("cubic"), 10)));
}

TEST_CASE("a fit holds every model that its N can be fitted to, and the one in use by name", "[analysis][forms]") {
  using kvcast::testing::make_samples;
  const auto fit = [](const std::vector<std::int64_t>& counts, const std::function<double(double)>& shared) {
    return analysis::fit_scheme(analysis::tabulate(make_samples(counts, 3, 0.1, shared)), "shared", 0.01);
  };
  const auto line = [](double n) { return 0.15 + 0.002 * n; };
  const kvcast::Fit all = fit({1, 4, 16, 64, 256}, line);
  REQUIRE(all.models.size() == analysis::cost_forms().size());
  for (const kvcast::FittedModel& model : all.models) {
    CHECK(model.residuals.size() == 5);
    CHECK(all.model(model.name) == &model);
  }
  CHECK(all.in_use() == all.model("affine"));
  CHECK(fit({100}, line).models.size() == 1);
  const kvcast::Fit untested = fit({10, 100}, line);
  CHECK(untested.in_use() == &untested.models.front());
  CHECK(fit({1}, line).in_use() == nullptr);
  CHECK(fit({1, 4, 16, 64, 256}, [](double n) { return n < 10 ? 0.1 : 0.5 * n; }).in_use() == nullptr);
}
