// report.json by the contract kvcast.report/2 (docs/report.md).
#include "report/json.h"

#include <optional>
#include <string>
#include <vector>

#include "report/columns.h"
#include "report/format.h"
#include "report/text.h"

namespace kvcast::report {
namespace {

template <typename Row>
Json or_null(const std::vector<Column<Row>>& columns, const std::optional<Row>& row) {
  return row ? to_json(columns, *row) : Json(nullptr);
}

Json equivalence(const Equivalence& value) {
  Json result = to_json(equivalence_columns(), value);
  result["layers"] = or_null(layer_sample_columns(), value.layers);
  Json& schemes = result["schemes"] = Json::object();
  for (const auto& scheme : value.schemes) {
    schemes[valid_utf8(scheme.scheme)] = to_json(scheme_equivalence_columns(), scheme);
  }
  return result;
}

Json point(const Point& value) {
  Json result = to_json(point_columns(), value);
  Json& schemes = result["schemes"] = Json::object();
  for (const auto& scheme : value.schemes) {
    schemes[valid_utf8(scheme.scheme)] = to_json(scheme_point_columns(), scheme, scheme.scheme == kBaseline);
  }
  return result;
}

Json profile(const Profile& value) {
  Json result = to_json(profile_columns(), value);
  result["steps"] = to_json(profile_step_columns(), value.steps);
  return result;
}

Json fit(const Fit& value) {
  Json result = to_json(fit_columns(), value);
  result["observed"] = to_json(observed_speedup_columns(), value.observed);
  Json& models = result["models"] = Json::array();
  for (const FittedModel& model : value.models) {
    Json& one = models.emplace_back(to_json(fitted_model_columns(), model));
    one["parameters"] = to_json(fitted_parameter_columns(), model.parameters);
    one["residuals"] = to_json(model_residual_columns(), model.residuals);
  }
  result["predictions"] = to_json(prediction_columns(), value.predictions);
  Json& explanation = result["explanation"] = nullptr;
  if (value.explanation) {
    explanation = to_json(explanation_columns(), *value.explanation);
    explanation["shares"] = to_json(r_share_columns(), value.explanation->shares);
  }
  return result;
}

Json one_case(const Case& value) {
  Json result;
  result["shape"] = or_null(shape_columns(), value.shape);
  result["machine"] = or_null(machine_columns(), value.machine);
  result["equivalence"] = value.equivalence ? equivalence(*value.equivalence) : Json(nullptr);
  result["after_timing"] = to_json(timed_outputs_columns(), value.after_timing);
  Json& points = result["points"] = Json::array();
  for (const auto& p : value.points) points.push_back(point(p));
  Json& fits = result["fits"] = Json::object();
  for (const auto& f : value.fits) fits[valid_utf8(f.scheme)] = fit(f);
  result["composition"] = to_json(composition_columns(), value.composition);
  result["micro_batches"] = to_json(micro_batch_columns(), value.micro_batches);
  Json& profiles = result["profiles"] = Json::array();
  for (const auto& p : value.profiles) profiles.push_back(profile(p));
  result["self_check"] = to_json(self_check_columns(), value.self_check);
  result["memory"] = to_json(resident_memory_columns(), value.memory);
  return result;
}

Json surface(const Surface& value) {
  Json result = to_json(surface_columns(), value);
  result["terms"] = to_json(surface_term_columns(), value.terms);
  result["errors"] = to_json(holdout_errors_columns(), value.errors);
  result["held_out"] = to_json(held_out_columns(), value.held_out);
  result["predictions"] = to_json(prediction_columns(), value.predictions);
  return result;
}

Json sizing(const Sizing& value) {
  Json result = to_json(sizing_columns(), value);
  visit_lists(value,
              [&](const char* name, const auto& columns, const auto& rows) { result[name] = to_json(columns, rows); });
  return result;
}

Json traffic(const Traffic& value) {
  Json result = to_json(traffic_columns(), value);
  visit_traffic_parts(
      value, [&](const char* name, const auto& columns, const auto& row) { result[name] = to_json(columns, row); });
  visit_traffic_lists(
      value, [&](const char* name, const auto& columns, const auto& rows) { result[name] = to_json(columns, rows); });
  return result;
}

}  // namespace

std::string render_json(const Report& report) {
  Json root;
  root["schema"] = kReportSchema;
  root["tool"] = tool_json(report.tool);
  root["machine"] = or_null(machine_columns(), report.machine);
  root["config"] = report.config ? Json::parse(config_to_json(*report.config)) : Json(nullptr);
  root["shard"] = or_null(shard_columns(), report.shard);
  root["conditions"] = or_null(conditions_columns(), report.conditions);
  Json& cases = root["cases"] = Json::array();
  for (const auto& value : report.cases) cases.push_back(one_case(value));
  Json& surfaces = root["surfaces"] = Json::array();
  for (const auto& value : report.surfaces) surfaces.push_back(surface(value));
  root["degradation"] = to_json(degradation_columns(), report.degradation);
  root["sizing"] = report.sizing ? sizing(*report.sizing) : Json(nullptr);
  root["traffic"] = report.traffic ? traffic(*report.traffic) : Json(nullptr);
  root["warnings"] = to_json(warning_columns(), report.warnings);
  return root.dump(2) + "\n";
}

}  // namespace kvcast::report
