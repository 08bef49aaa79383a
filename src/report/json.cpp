// report.json by the contract kvcast.report/1 (docs/report-schema.md).
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <utility>

#include "report/columns.h"
#include "report/format.h"
#include "report/text.h"

namespace kvcast::report {
namespace {

using Json = nlohmann::ordered_json;

// nlohmann would write NaN as null silently; here null is a decision and the value never reaches the writer.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json interval(const std::optional<Interval>& value) {
  return value ? Json::array({number(value->lo), number(value->hi)}) : Json(nullptr);
}

Json to_json(const Value& value) {
  return std::visit(
      [](const auto& v) -> Json {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::monostate>) {
          return nullptr;
        } else if constexpr (std::is_same_v<T, double>) {
          return number(v);
        } else if constexpr (std::is_same_v<T, std::string>) {
          return valid_utf8(v);
        } else if constexpr (std::is_same_v<T, Estimate>) {
          return {{"value", number(v.value)}, {"ci95", interval(v.ci95)}};
        } else if constexpr (std::is_same_v<T, SecondsSummary>) {
          return {{"median", number(v.median)}, {"ci95", interval(v.ci95)}, {"samples", v.samples}};
        } else if constexpr (std::is_same_v<T, ErrorPair>) {
          return {{"max_abs", number(v.max_abs)}, {"max_rel", number(v.max_rel)}};
        } else if constexpr (std::is_same_v<T, AffineFit>) {
          return {{"user_s", number(v.user_s)},
                  {"candidate_s", number(v.candidate_s)},
                  {"naive_candidate_s", number(v.naive_candidate_s)}};
        } else {
          return v;
        }
      },
      value);
}

template <typename Row>
Json object(const std::vector<Column<Row>>& columns, const Row& row, bool baseline = false) {
  Json result = Json::object();
  for (const auto& column : columns) {
    if (column.role == Role::key || (baseline && column.role == Role::sharing_only)) continue;
    result[column.name] = to_json(column.value(row));
  }
  return result;
}

Json tool(const ToolInfo& info) {
  Json result = object(tool_columns(), info);
  Json& dependencies = result["dependencies"] = Json::object();
  for (const auto& [name, version] : info.dependencies) dependencies[valid_utf8(name)] = valid_utf8(version);
  return result;
}

Json equivalence(const Equivalence& value) {
  Json result = object(equivalence_columns(), value);
  Json& schemes = result["schemes"] = Json::object();
  for (const auto& scheme : value.schemes) {
    schemes[valid_utf8(scheme.scheme)] = object(scheme_equivalence_columns(), scheme);
  }
  return result;
}

Json point(const Point& value) {
  Json result = object(point_columns(), value);
  Json& schemes = result["schemes"] = Json::object();
  for (const auto& scheme : value.schemes) {
    schemes[valid_utf8(scheme.scheme)] = object(scheme_point_columns(), scheme, scheme.scheme == kBaseline);
  }
  return result;
}

Json profile(const Profile& value) {
  Json result = object(profile_columns(), value);
  Json& steps = result["steps"] = Json::array();
  for (const auto& step : value.steps) steps.push_back(object(profile_step_columns(), step));
  return result;
}

Json one_case(const Case& value) {
  Json result;
  result["shape"] = value.shape ? object(shape_columns(), *value.shape) : Json(nullptr);
  result["equivalence"] = value.equivalence ? equivalence(*value.equivalence) : Json(nullptr);
  Json& points = result["points"] = Json::array();
  for (const auto& p : value.points) points.push_back(point(p));
  Json& fits = result["fits"] = Json::object();
  for (const auto& fit : value.fits) fits[valid_utf8(fit.scheme)] = object(fit_columns(), fit);
  Json& composition = result["composition"] = Json::array();
  for (const auto& check : value.composition) composition.push_back(object(composition_columns(), check));
  Json& micro_batches = result["micro_batches"] = Json::array();
  for (const auto& best : value.micro_batches) micro_batches.push_back(object(micro_batch_columns(), best));
  Json& profiles = result["profiles"] = Json::array();
  for (const auto& p : value.profiles) profiles.push_back(profile(p));
  return result;
}

}  // namespace

std::string valid_utf8(const std::string& text) {
  const std::string encoded = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  return Json::parse(encoded).get<std::string>();
}

std::string render_json(const Report& report) {
  Json root;
  root["schema"] = kReportSchema;
  root["tool"] = tool(report.tool);
  root["machine"] = report.machine ? object(machine_columns(), *report.machine) : Json(nullptr);
  root["config"] = report.config ? Json::parse(config_to_json(*report.config)) : Json(nullptr);
  Json& cases = root["cases"] = Json::array();
  for (const auto& value : report.cases) cases.push_back(one_case(value));
  root["degradation"] = nullptr;
  root["sizing"] = nullptr;
  Json& warnings = root["warnings"] = Json::array();
  for (const auto& warning : report.warnings) warnings.push_back(object(warning_columns(), warning));
  return root.dump(2) + "\n";
}

}  // namespace kvcast::report
