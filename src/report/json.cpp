// report.json by the contract kvcast.report/1 (docs/report-schema.md).
#include "report/json.h"

#include <string>

#include "report/columns.h"
#include "report/format.h"
#include "report/text.h"

namespace kvcast::report {
namespace {

Json equivalence(const Equivalence& value) {
  Json result = to_json(equivalence_columns(), value);
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
  Json& steps = result["steps"] = Json::array();
  for (const auto& step : value.steps) steps.push_back(to_json(profile_step_columns(), step));
  return result;
}

Json one_case(const Case& value) {
  Json result;
  result["shape"] = value.shape ? to_json(shape_columns(), *value.shape) : Json(nullptr);
  result["equivalence"] = value.equivalence ? equivalence(*value.equivalence) : Json(nullptr);
  Json& points = result["points"] = Json::array();
  for (const auto& p : value.points) points.push_back(point(p));
  Json& fits = result["fits"] = Json::object();
  for (const auto& fit : value.fits) fits[valid_utf8(fit.scheme)] = to_json(fit_columns(), fit);
  Json& composition = result["composition"] = Json::array();
  for (const auto& check : value.composition) composition.push_back(to_json(composition_columns(), check));
  Json& micro_batches = result["micro_batches"] = Json::array();
  for (const auto& best : value.micro_batches) micro_batches.push_back(to_json(micro_batch_columns(), best));
  Json& profiles = result["profiles"] = Json::array();
  for (const auto& p : value.profiles) profiles.push_back(profile(p));
  return result;
}

}  // namespace

std::string render_json(const Report& report) {
  Json root;
  root["schema"] = kReportSchema;
  root["tool"] = tool_json(report.tool);
  root["machine"] = report.machine ? to_json(machine_columns(), *report.machine) : Json(nullptr);
  root["config"] = report.config ? Json::parse(config_to_json(*report.config)) : Json(nullptr);
  Json& cases = root["cases"] = Json::array();
  for (const auto& value : report.cases) cases.push_back(one_case(value));
  root["degradation"] = nullptr;
  root["sizing"] = nullptr;
  Json& warnings = root["warnings"] = Json::array();
  for (const auto& warning : report.warnings) warnings.push_back(to_json(warning_columns(), warning));
  return root.dump(2) + "\n";
}

}  // namespace kvcast::report
