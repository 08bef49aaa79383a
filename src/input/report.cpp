#include "input/report.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "input/former_names.h"
#include "input/text/json.h"
#include "report/json.h"

namespace kvcast::input {
namespace {

using namespace report;

template <typename Row>
std::optional<Row> optional_row(const JsonPlace& place, const std::vector<Column<Row>>& columns) {
  if (place.value().is_null()) return std::nullopt;
  Row row;
  from_json(place, columns, row);
  return row;
}

std::optional<Equivalence> equivalence(const JsonPlace& place) {
  auto value = optional_row(place, equivalence_columns());
  if (!value) return value;
  value->layers = optional_row(place.at("layers"), layer_sample_columns());
  for (const auto& [name, scheme] : place.at("schemes").members()) {
    from_json(scheme, scheme_equivalence_columns(), value->schemes.emplace_back());
    value->schemes.back().scheme = name;
  }
  return value;
}

Point point(const JsonPlace& place) {
  Point value;
  from_json(place, point_columns(), value);
  for (const auto& [name, scheme] : place.at("schemes").members()) {
    from_json(scheme, scheme_point_columns(), value.schemes.emplace_back());
    value.schemes.back().scheme = name;
  }
  return value;
}

/// Of kvcast.report/1, which had two models by name: what became observed and models.
void models_of_1(const JsonPlace& place, Fit& fit) {
  const auto number = [](const JsonPlace& at, const char* name) {
    const Value value = read_value(at.at(name), Kind::number, true);
    const double* known = std::get_if<double>(&value);
    return known != nullptr ? std::optional(*known) : std::nullopt;
  };
  const auto estimate = [](const JsonPlace& at, const char* name) {
    const Value value = read_value(at.at(name), Kind::estimate, true);
    const Estimate* known = std::get_if<Estimate>(&value);
    return known != nullptr ? std::optional(*known) : std::nullopt;
  };
  if (fit.r) {
    FittedModel& law = fit.models.emplace_back(unfitted_model("one-parameter"));
    law.parameters.front().value = fit.r->value;
    law.marginal_r = fit.r;
    law.max_residual_pct = number(place, "max_residual_pct");
    law.loo_error_pct = number(place, "loo_error_pct");
  }
  if (const JsonPlace affine = place.at("affine"); !affine.value().is_null()) {
    FittedModel& line = fit.models.emplace_back(unfitted_model("affine"));
    for (FittedParameter& one : line.parameters) one.value = number(affine, one.name.c_str()).value_or(one.value);
    line.marginal_r = estimate(place, "marginal_r");
    line.max_residual_pct = number(place, "affine_max_residual_pct");
    line.loo_error_pct = number(place, "affine_loo_error_pct");
  }
  for (const auto& item : place.at("residuals").items()) {
    const std::int64_t candidates = item.at("candidates").integer();
    fit.observed.push_back({candidates, estimate(item, "speedup").value_or(Estimate{})});
    for (FittedModel& model : fit.models) {
      const bool law = model.name == "one-parameter";
      model.residuals.push_back({candidates, number(item, law ? "one_parameter_pct" : "affine_pct"),
                                 number(item, law ? "loo_pct" : "affine_loo_pct")});
    }
  }
}

Fit fit(const JsonPlace& place) {
  Fit value;
  from_json(place, fit_columns(), value);
  if (place.value().contains("residuals")) models_of_1(place, value);
  if (place.value().contains("observed")) {
    value.observed = rows_from_json(place.at("observed"), observed_speedup_columns());
  }
  for (const auto& item : place.at("models").items()) {
    // Formulas and names go into cells and scripts: they are ours, whatever the file says. A model that is none of ours
    // is passed over.
    FittedModel model = unfitted_model(item.at("model").text());
    if (model.name.empty()) continue;
    from_json(item, fitted_model_columns(), model);
    for (const FittedParameter& read : rows_from_json(item.at("parameters"), fitted_parameter_columns())) {
      for (FittedParameter& own : model.parameters) own.value = own.symbol == read.symbol ? read.value : own.value;
    }
    model.residuals = rows_from_json(item.at("residuals"), model_residual_columns());
    value.models.push_back(std::move(model));
  }
  value.predictions = rows_from_json(place.at("predictions"), prediction_columns());
  const JsonPlace explanation = place.at("explanation");
  value.explanation = optional_row(explanation, explanation_columns());
  if (value.explanation) value.explanation->shares = rows_from_json(explanation.at("shares"), r_share_columns());
  return value;
}

Case one_case(const JsonPlace& place) {
  Case value;
  value.shape = optional_row(place.at("shape"), shape_columns());
  value.machine = optional_row(place.at("machine"), machine_columns());
  value.equivalence = equivalence(place.at("equivalence"));
  // Absent from files that were written before it was judged.
  if (place.value().contains("after_timing")) {
    value.after_timing = rows_from_json(place.at("after_timing"), timed_outputs_columns());
  }
  for (const auto& item : place.at("points").items()) value.points.push_back(point(item));
  for (const auto& [name, item] : place.at("fits").members()) {
    value.fits.push_back(fit(item));
    value.fits.back().scheme = name;
  }
  value.composition = rows_from_json(place.at("composition"), composition_columns());
  value.micro_batches = rows_from_json(place.at("micro_batches"), micro_batch_columns());
  for (const auto& item : place.at("profiles").items()) {
    from_json(item, profile_columns(), value.profiles.emplace_back());
    value.profiles.back().steps = rows_from_json(item.at("steps"), profile_step_columns());
  }
  value.self_check = rows_from_json(place.at("self_check"), self_check_columns());
  value.memory = rows_from_json(place.at("memory"), resident_memory_columns());
  return value;
}

Surface surface(const JsonPlace& place) {
  Surface value;
  from_json(place, surface_columns(), value);
  value.terms = rows_from_json(place.at("terms"), surface_term_columns());
  value.errors = rows_from_json(place.at("errors"), holdout_errors_columns());
  value.held_out = rows_from_json(place.at("held_out"), held_out_columns());
  value.predictions = rows_from_json(place.at("predictions"), prediction_columns());
  return value;
}

std::optional<Sizing> sizing(const JsonPlace& place) {
  auto value = optional_row(place, sizing_columns());
  if (!value) return value;
  visit_lists(*value, [&](const char* name, const auto& columns, auto& rows) {
    rows = rows_from_json(place.at(name), columns);
  });
  return value;
}

/// Absent from files that were written before there was traffic.
std::optional<Traffic> traffic(const JsonPlace& root) {
  if (!root.value().contains("traffic")) return std::nullopt;
  const JsonPlace place = root.at("traffic");
  auto value = optional_row(place, traffic_columns());
  if (!value) return value;
  visit_traffic_parts(
      *value, [&](const char* name, const auto& columns, auto& row) { from_json(place.at(name), columns, row); });
  visit_traffic_lists(*value, [&](const char* name, const auto& columns, auto& rows) {
    rows = rows_from_json(place.at(name), columns);
  });
  return value;
}

/// Contracts that are read.
const std::string kReadable[] = {kReportSchema, "kvcast.report/1"};

}  // namespace

Report read_report_json(const std::string& text, const std::string& where) {
  Json document = parse_json(text, where);
  use_current_names(document);
  const JsonPlace root(document, where);
  const JsonPlace schema = root.object().at("schema");
  const std::string name = schema.text();
  // A minor number would stand behind a dot.
  const bool readable = std::any_of(std::begin(kReadable), std::end(kReadable),
                                    [&](const std::string& one) { return name == one || name.starts_with(one + "."); });
  if (!readable)
    schema.fail("is '" + printable(name) + "'",
                join({std::begin(kReadable), std::end(kReadable)}, " or ") + ", which this version reads");
  Report report;
  report.tool = tool_from_json(root.at("tool"));
  report.machine = optional_row(root.at("machine"), machine_columns());
  if (const JsonPlace config = root.at("config"); !config.value().is_null()) report.config = config_from_json(config);
  report.shard = optional_row(root.at("shard"), shard_columns());
  report.conditions = optional_row(root.at("conditions"), conditions_columns());
  for (const auto& item : root.at("cases").items()) report.cases.push_back(one_case(item));
  for (const auto& item : root.at("surfaces").items()) report.surfaces.push_back(surface(item));
  report.degradation = rows_from_json(root.at("degradation"), degradation_columns());
  report.sizing = sizing(root.at("sizing"));
  report.traffic = traffic(root);
  report.warnings = rows_from_json(root.at("warnings"), warning_columns());
  return report;
}

}  // namespace kvcast::input
