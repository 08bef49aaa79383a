// docs/report.schema.json and the field tables of docs/report.md are made from the column descriptions;
// this test fails when they are out of step and rewrites them with KVCAST_UPDATE_GOLDEN=1.
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "catch.h"
#include "kvcast/kvcast.h"
#include "report/columns.h"

namespace kvcast::report {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kHowToUpdate =
    "\nRewrite it with KVCAST_UPDATE_GOLDEN=1 in the environment of this test, and read the diff before you commit it.";

bool updating() {
  const char* update = std::getenv("KVCAST_UPDATE_GOLDEN");
  return update && std::string(update) == "1";
}

std::string docs_path(const std::string& name) { return std::string(KVCAST_SOURCE_DIR) + "/docs/" + name; }

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// ---- JSON Schema

Json reference(const std::string& name) { return {{"$ref", "#/$defs/" + name}}; }

Json or_null(Json schema) { return {{"anyOf", Json::array({std::move(schema), {{"type", "null"}}})}}; }

Json type_of(Kind kind, bool nullable, const std::vector<std::string>& names) {
  const auto plain = [&](const char* name) -> Json {
    return nullable ? Json{{"type", {name, "null"}}} : Json{{"type", name}};
  };
  const auto compound = [&](const char* name) { return nullable ? or_null(reference(name)) : reference(name); };
  switch (kind) {
    case Kind::boolean:
      return plain("boolean");
    case Kind::integer:
      return plain("integer");
    case Kind::number:
      return plain("number");
    case Kind::text:
      return plain("string");
    case Kind::texts:
      return {{"type", "array"}, {"items", {{"type", "string"}}}};
    case Kind::numbers:
      return {{"type", "array"}, {"items", {{"type", {"number", "null"}}}}};
    case Kind::interval:
      return compound("interval");
    case Kind::name: {
      Json all = names;
      if (nullable) all.push_back(nullptr);
      return {{"enum", all}};
    }
    case Kind::estimate:
      return compound("estimate");
    case Kind::seconds:
      return compound("seconds");
    case Kind::errors:
      return compound("errors");
  }
  return {};
}

/// An object with these members and no others, all present.
Json object_of(const Json& properties) {
  Json schema = {{"type", "object"}, {"additionalProperties", false}, {"required", Json::array()}};
  for (const auto& item : properties.items()) schema["required"].push_back(item.key());
  schema["properties"] = properties;
  return schema;
}

Json map_of(const Json& value) { return {{"type", "object"}, {"additionalProperties", value}}; }
Json list_of(const Json& item) { return {{"type", "array"}, {"items", item}}; }

template <typename Row>
Json properties_of(const std::vector<Column<Row>>& columns, bool baseline = false) {
  Json properties = Json::object();
  for (const auto& column : columns) {
    if (column.role == Role::key || (baseline && column.role == Role::sharing_only)) continue;
    Json& property = properties[column.name] = type_of(column.kind, column.nullable, column.names);
    property["description"] = column.doc + (column.unit.empty() ? "" : " (" + column.unit + ")");
  }
  return properties;
}

Json config_schema() {
  Json sections = Json::object();
  for (const auto& field : config_fields()) {
    Json type;
    if (field.type == "int") type = {{"type", "integer"}};
    if (field.type == "number") type = {{"type", "number"}};
    if (field.type == "bool") type = {{"type", "boolean"}};
    if (field.type == "text") type = {{"type", "string"}};
    if (field.type == "time") type = {{"type", {"number", "string"}}};
    if (field.type == "bytes") type = {{"type", {"integer", "string"}}};
    if (field.type == "int list") type = list_of({{"type", "integer"}});
    if (field.type == "text list") type = list_of({{"type", "string"}});
    INFO("config field " << field.path << " of type '" << field.type << "' has no JSON Schema type here");
    REQUIRE(!type.is_null());
    // What is resolved when the config is loaded never shows as "auto" in a report; what is not may.
    if (field.allowed.find("or auto") != std::string::npos) type = {{"anyOf", {type, {{"const", "auto"}}}}};
    const auto dot = field.path.find('.');
    if (dot == std::string::npos) {
      sections[field.path] = type;
    } else {
      sections[field.path.substr(0, dot)][field.path.substr(dot + 1)] = type;
    }
  }
  Json properties = Json::object();
  for (const auto& item : sections.items()) {
    // A leaf has its type; a section has members only.
    const bool leaf = item.value().contains("type") || item.value().contains("anyOf");
    properties[item.key()] = leaf ? item.value() : object_of(item.value());
  }
  return object_of(properties);
}

Json report_schema() {
  const Json number = {{"type", {"number", "null"}}};
  const Json integer = {{"type", "integer"}};

  Json defs;
  defs["interval"] = {{"type", "array"},
                      {"description", "95% interval, low and high end"},
                      {"items", number},
                      {"minItems", 2},
                      {"maxItems", 2}};
  const Json interval = or_null(reference("interval"));
  defs["estimate"] = object_of({{"value", number}, {"ci95", interval}});
  defs["seconds"] = object_of({{"median", number}, {"ci95", interval}, {"samples", integer}});
  defs["errors"] = object_of({{"max_abs", number}, {"max_rel", number}});

  Json tool = properties_of(tool_columns());
  tool["dependencies"] = map_of({{"type", "string"}});
  defs["tool"] = object_of(tool);
  defs["machine"] = object_of(properties_of(machine_columns()));
  defs["config"] = config_schema();
  defs["shape"] = object_of(properties_of(shape_columns()));

  defs["scheme_equivalence"] = object_of(properties_of(scheme_equivalence_columns()));
  defs["layer_samples"] = object_of(properties_of(layer_sample_columns()));
  Json equivalence = properties_of(equivalence_columns());
  equivalence["layers"] = or_null(reference("layer_samples"));
  equivalence["schemes"] = map_of(reference("scheme_equivalence"));
  defs["equivalence"] = object_of(equivalence);

  defs["timed_outputs"] = object_of(properties_of(timed_outputs_columns()));
  defs["naive_point"] = object_of(properties_of(scheme_point_columns(), true));
  defs["scheme_point"] = object_of(properties_of(scheme_point_columns()));
  Json point = properties_of(point_columns());
  point["schemes"] = map_of(reference("scheme_point"));
  point["schemes"]["properties"] = {{kBaseline, reference("naive_point")}};
  defs["point"] = object_of(point);

  defs["observed_speedup"] = object_of(properties_of(observed_speedup_columns()));
  defs["fitted_parameter"] = object_of(properties_of(fitted_parameter_columns()));
  defs["model_residual"] = object_of(properties_of(model_residual_columns()));
  Json fitted_model = properties_of(fitted_model_columns());
  fitted_model["parameters"] = list_of(reference("fitted_parameter"));
  fitted_model["residuals"] = list_of(reference("model_residual"));
  defs["fitted_model"] = object_of(fitted_model);
  defs["prediction"] = object_of(properties_of(prediction_columns()));
  defs["r_share"] = object_of(properties_of(r_share_columns()));
  Json explanation = properties_of(explanation_columns());
  explanation["shares"] = list_of(reference("r_share"));
  defs["explanation"] = object_of(explanation);
  Json fit = properties_of(fit_columns());
  fit["observed"] = list_of(reference("observed_speedup"));
  fit["models"] = list_of(reference("fitted_model"));
  fit["predictions"] = list_of(reference("prediction"));
  fit["explanation"] = or_null(reference("explanation"));
  defs["fit"] = object_of(fit);
  defs["composition"] = object_of(properties_of(composition_columns()));
  defs["micro_batch"] = object_of(properties_of(micro_batch_columns()));
  defs["profile_step"] = object_of(properties_of(profile_step_columns()));
  Json profile = properties_of(profile_columns());
  profile["steps"] = list_of(reference("profile_step"));
  defs["profile"] = object_of(profile);
  defs["self_check"] = object_of(properties_of(self_check_columns()));
  defs["resident_memory"] = object_of(properties_of(resident_memory_columns()));
  defs["case"] = object_of({{"shape", or_null(reference("shape"))},
                            {"machine", or_null(reference("machine"))},
                            {"equivalence", or_null(reference("equivalence"))},
                            {"after_timing", list_of(reference("timed_outputs"))},
                            {"points", list_of(reference("point"))},
                            {"fits", map_of(reference("fit"))},
                            {"composition", list_of(reference("composition"))},
                            {"micro_batches", list_of(reference("micro_batch"))},
                            {"profiles", list_of(reference("profile"))},
                            {"self_check", list_of(reference("self_check"))},
                            {"memory", list_of(reference("resident_memory"))}});
  defs["shard"] = object_of(properties_of(shard_columns()));
  defs["conditions"] = object_of(properties_of(conditions_columns()));
  defs["surface_term"] = object_of(properties_of(surface_term_columns()));
  defs["holdout_errors"] = object_of(properties_of(holdout_errors_columns()));
  defs["held_out"] = object_of(properties_of(held_out_columns()));
  Json surface = properties_of(surface_columns());
  surface["terms"] = list_of(reference("surface_term"));
  surface["errors"] = list_of(reference("holdout_errors"));
  surface["held_out"] = list_of(reference("held_out"));
  surface["predictions"] = list_of(reference("prediction"));
  defs["surface"] = object_of(surface);
  defs["degradation"] = object_of(properties_of(degradation_columns()));
  Json sizing = properties_of(sizing_columns());
  Sizing any;
  visit_lists(any, [&](const std::string& name, const auto& columns, const auto&) {
    defs["sizing_" + name] = object_of(properties_of(columns));
    sizing[name] = list_of(reference("sizing_" + name));
  });
  defs["sizing"] = object_of(sizing);
  Json traffic = properties_of(traffic_columns());
  Traffic none;
  visit_traffic_parts(none, [&](const std::string& name, const auto& columns, const auto&) {
    defs["traffic_" + name] = object_of(properties_of(columns));
    traffic[name] = reference("traffic_" + name);
  });
  visit_traffic_lists(none, [&](const std::string& name, const auto& columns, const auto&) {
    defs["traffic_" + name] = object_of(properties_of(columns));
    traffic[name] = list_of(reference("traffic_" + name));
  });
  defs["traffic"] = object_of(traffic);
  defs["warning"] = object_of(properties_of(warning_columns()));

  Json root = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
               {"title", kReportSchema},
               {"$comment", "Made from src/report/columns.cpp by tests/golden/docs_test.cpp; do not edit"}};
  root.update(object_of({{"schema", {{"const", kReportSchema}}},
                         {"tool", reference("tool")},
                         {"machine", or_null(reference("machine"))},
                         {"config", or_null(reference("config"))},
                         {"shard", or_null(reference("shard"))},
                         {"conditions", or_null(reference("conditions"))},
                         {"cases", list_of(reference("case"))},
                         {"surfaces", list_of(reference("surface"))},
                         {"degradation", list_of(reference("degradation"))},
                         {"sizing", or_null(reference("sizing"))},
                         {"traffic", or_null(reference("traffic"))},
                         {"warnings", list_of(reference("warning"))}}));
  root["$defs"] = defs;
  return root;
}

// ---- Markdown

const char* word_for(Kind kind) {
  switch (kind) {
    case Kind::boolean:
      return "boolean";
    case Kind::integer:
      return "integer";
    case Kind::number:
      return "number";
    case Kind::text:
    case Kind::name:
      return "text";
    case Kind::texts:
      return "texts";
    case Kind::numbers:
      return "numbers";
    case Kind::interval:
      return "interval";
    case Kind::estimate:
      return "estimate";
    case Kind::seconds:
      return "times";
    case Kind::errors:
      return "errors";
  }
  return "";
}

/// A row per column: its name; its type, with "?" where it may be null, and its unit; what it is. in_csv: the CSV names
/// follow where they differ from the field's.
template <typename Row>
std::string markdown(const std::vector<Column<Row>>& columns, bool in_csv) {
  std::string text = "| field | type | what |\n|---|---|---|\n";
  for (const auto& column : columns) {
    std::string doc = column.doc;
    if (column.role == Role::key) doc += " (the name of the object in JSON)";
    if (column.role == Role::sharing_only) doc += "; absent for naive";
    const std::vector<std::string> names = flat_names(column.name, column.kind);
    if (in_csv && names != std::vector<std::string>{column.name}) {
      doc += "; in CSV ";
      for (const auto& name : names) doc += (&name == &names.front() ? "`" : ", `") + name + "`";
    }
    text += "| `" + column.name + "` | " + word_for(column.kind) + (column.nullable ? "?" : "") +
            (column.unit.empty() ? "" : ", " + column.unit) + " | " + doc + " |\n";
  }
  return text;
}

struct Table {
  std::string name, text;
};
std::vector<Table> tables() {
  std::vector<Table> tables = {{"tool", markdown(tool_columns(), false)},
                               {"machine", markdown(machine_columns(), false)},
                               {"shape", markdown(shape_columns(), true)},
                               {"equivalence", markdown(equivalence_columns(), false)},
                               {"layer_samples", markdown(layer_sample_columns(), false)},
                               {"scheme_equivalence", markdown(scheme_equivalence_columns(), false)},
                               {"timed_outputs", markdown(timed_outputs_columns(), false)},
                               {"point", markdown(point_columns(), true)},
                               {"scheme_point", markdown(scheme_point_columns(), true)},
                               {"fit", markdown(fit_columns(), false)},
                               {"observed_speedup", markdown(observed_speedup_columns(), false)},
                               {"fitted_model", markdown(fitted_model_columns(), false)},
                               {"fitted_parameter", markdown(fitted_parameter_columns(), false)},
                               {"model_residual", markdown(model_residual_columns(), false)},
                               {"prediction", markdown(prediction_columns(), false)},
                               {"explanation", markdown(explanation_columns(), false)},
                               {"r_share", markdown(r_share_columns(), false)},
                               {"composition", markdown(composition_columns(), false)},
                               {"micro_batch", markdown(micro_batch_columns(), false)},
                               {"profile", markdown(profile_columns(), false)},
                               {"profile_step", markdown(profile_step_columns(), false)},
                               {"self_check", markdown(self_check_columns(), false)},
                               {"shard", markdown(shard_columns(), false)},
                               {"conditions", markdown(conditions_columns(), false)},
                               {"surface", markdown(surface_columns(), false)},
                               {"surface_term", markdown(surface_term_columns(), false)},
                               {"holdout_errors", markdown(holdout_errors_columns(), false)},
                               {"held_out", markdown(held_out_columns(), false)},
                               {"compared_point", markdown(compared_point_columns(), true)},
                               {"warning", markdown(warning_columns(), false)},
                               {"sample", markdown(sample_columns(), true)},
                               {"resident_memory", markdown(resident_memory_columns(), false)},
                               {"degradation", markdown(degradation_columns(), false)},
                               {"sizing", markdown(sizing_columns(), false)},
                               {"traffic", markdown(traffic_columns(), false)}};
  Sizing any;
  visit_lists(any, [&](const std::string& name, const auto& columns, const auto&) {
    tables.push_back({"sizing_" + name, markdown(columns, false)});
  });
  const auto traffic = [&](const std::string& name, const auto& columns, const auto&) {
    tables.push_back({"traffic_" + name, markdown(columns, false)});
  };
  Traffic none;
  visit_traffic_parts(none, traffic);
  visit_traffic_lists(none, traffic);
  return tables;
}

/// `document` with each table between its markers replaced.
std::string with_tables(std::string document) {
  for (const auto& table : tables()) {
    const std::string begin = "<!-- columns: " + table.name + " -->\n", end = "<!-- end -->\n";
    const auto from = document.find(begin);
    INFO("docs/report.md lacks the marker '" << begin << "'");
    REQUIRE(from != std::string::npos);
    const auto body = from + begin.size();
    const auto to = document.find(end, body);
    REQUIRE(to != std::string::npos);
    document.replace(body, to - body, table.text);
  }
  return document;
}

void compare_or_update(const std::string& name, const std::string& wanted) {
  const std::string path = docs_path(name);
  if (updating()) {
    std::ofstream(path, std::ios::binary) << wanted;
    return;
  }
  INFO(path << " is out of step with src/report/columns.cpp or the config fields." << kHowToUpdate);
  CHECK(contents(path) == wanted);
}

}  // namespace

TEST_CASE("docs/report.schema.json describes the columns", "[golden]") {
  compare_or_update("report.schema.json", report_schema().dump(2) + "\n");
}

TEST_CASE("docs/report.md describes the columns", "[golden]") {
  compare_or_update("report.md", with_tables(contents(docs_path("report.md"))));
}

TEST_CASE("docs/report.md names every CSV column and every format", "[golden]") {
  const std::string document = contents(docs_path("report.md"));
  const auto names_all = [&](const std::vector<std::string>& names) {
    for (const auto& name : names) {
      INFO("column " << name);
      CHECK(document.find('`' + name + '`') != std::string::npos);
    }
  };
  names_all(flat_names(shape_columns()));
  names_all(flat_names(point_columns()));
  names_all(flat_names(scheme_point_columns()));
  names_all(flat_names(sample_columns()));
  names_all(flat_names(compared_point_columns()));
  for (const auto& format : formats()) names_all({format.name});
}

}  // namespace kvcast::report
