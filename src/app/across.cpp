#include "app/across.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/text.h"
#include "kvcast/error.h"
#include "kvcast/kvcast.h"
#include "report/shape.h"

namespace kvcast::app {
namespace {

constexpr const char *kSchemes = "schemes", *kShape = "shape";
// Pairs of shapes that a person still reads.
constexpr std::size_t kMaxPairs = 1000;
// Shapes of each report among which the nearest two are looked for, to say how they differ.
constexpr std::size_t kNearest = 100;

std::vector<std::string> names() {
  std::vector<std::string> all = {kSchemes, kShape};
  for (std::string& field : report::shape_fields()) all.push_back(std::move(field));
  return all;
}

std::vector<std::string> differences(const CaseShape& a, const CaseShape& b, bool any_machine) {
  std::vector<std::string> fields = report::shape_differences(a, b);
  if (any_machine) std::erase(fields, "threads");
  return fields;
}

std::string words(const CaseShape& shape, const std::vector<std::string>& fields) {
  std::vector<std::string> parts;
  for (const std::string& field : fields) parts.push_back(report::shape_words(shape, field));
  return join(parts, ", ");
}

/// Columns that may differ where a field does.
std::vector<std::string> free_columns(const std::string& field, bool any_machine) {
  if (field == kShape) return report::shape_fields();
  std::vector<std::string> columns = {field};
  if (field == "dtype") columns.push_back("kv_dtype");
  if (field == "heads") columns.push_back("kv_heads");
  if (any_machine) columns.push_back("threads");
  return columns;
}

std::vector<analysis::CasePair> found_pairs(const Report& a, const Report& b, const std::string& field,
                                            bool any_machine) {
  const std::vector<std::string> free = free_columns(field, any_machine);
  std::map<std::string, std::vector<const Case*>> by_rest;
  for (const Case& one : b.cases) {
    if (one.shape) by_rest[report::shape_key_without(*one.shape, free)].push_back(&one);
  }
  std::vector<analysis::CasePair> pairs;
  std::set<std::pair<std::string, std::string>> seen;  // of two reports that both have both, one direction will do
  for (const Case& one : a.cases) {
    if (!one.shape) continue;
    for (const Case* other : by_rest[report::shape_key_without(*one.shape, free)]) {
      const std::vector<std::string> fields = differences(*one.shape, *other->shape, any_machine && field != "threads");
      if (fields.empty() || (field != kShape && fields != std::vector{field})) continue;
      const std::string own = report::shape_key(one.shape), others = report::shape_key(other->shape);
      if (seen.contains({others, own})) continue;
      seen.emplace(own, others);
      pairs.push_back({&one, other, words(*one.shape, fields), words(*other->shape, fields)});
      if (pairs.size() > kMaxPairs) {
        throw ConfigError("--across",
                          "'" + field + "' makes more than " + std::to_string(kMaxPairs) + " pairs of shapes",
                          "one field that differs, such as --across layers, or reports with fewer shapes");
      }
    }
  }
  return pairs;
}

/// How the two shapes of A and B differ that differ least: with `field` among it, or in anything.
std::optional<std::string> min_difference(const Report& a, const Report& b, const std::string& field) {
  std::optional<std::string> said;
  std::size_t fewest = 0;
  for (std::size_t i = 0; i < std::min(a.cases.size(), kNearest); ++i) {
    for (std::size_t j = 0; j < std::min(b.cases.size(), kNearest); ++j) {
      const auto &in_a = a.cases[i].shape, &in_b = b.cases[j].shape;
      if (!in_a || !in_b) continue;
      std::vector<std::string> fields = report::shape_differences(*in_a, *in_b);
      const bool has = std::find(fields.begin(), fields.end(), field) != fields.end();
      if (fields.empty() || (!field.empty() && !has)) continue;
      std::erase(fields, field);
      if (said && fields.size() >= fewest) continue;
      fewest = fields.size();
      said = words(*in_a, fields) + " in A, " + words(*in_b, fields) + " in B";
    }
  }
  return said;
}

std::set<std::string> schemes_of(const Report& report) {
  std::set<std::string> schemes;
  for (const Case& one : report.cases) {
    for (const Point& point : one.points) {
      for (const SchemePoint& row : point.schemes) {
        if (row.seconds) schemes.insert(row.scheme);
      }
    }
  }
  return schemes;
}

[[noreturn]] void refuse_pairs(const Report& a, const Report& b, const std::string& field, const std::string& both) {
  const auto shaped = [](const Report& report) {
    return std::any_of(report.cases.begin(), report.cases.end(), [](const Case& one) { return one.shape.has_value(); });
  };
  if (!shaped(a) || !shaped(b)) {
    throw ConfigError(both, "do not both record their shape", "reports of kvcast, or --across schemes");
  }
  const std::string name = field == kSchemes ? "" : field;
  if (const auto more = field == kShape ? std::nullopt : min_difference(a, b, name)) {
    throw ConfigError(both, (name.empty() ? "differ in their shape: " : "differ in more than " + name + ": ") + *more,
                      name.empty() ? "runs of the same shape" : "runs that differ in it alone, or --across shape");
  }
  const CaseShape& first =
      *std::find_if(a.cases.begin(), a.cases.end(), [](const Case& one) { return one.shape.has_value(); })->shape;
  const std::string alike = field == kShape ? "have no two shapes that differ"
                                            : "do not differ in " + name + ": " + report::shape_words(first, field);
  const auto other = field == kShape ? std::nullopt : min_difference(a, b, "");
  throw ConfigError(both, alike, other ? "what differs is " + *other : "runs that differ in it");
}

}  // namespace

std::string across_field(const std::string& name) {
  static const std::map<std::string, std::string> others = {
      {"scheme", kSchemes}, {"shapes", kShape}, {"L", "history_length"}, {"history", "history_length"},
      {"d", "dim"},         {"layout", "mask"}, {"layouts", "mask"}};
  std::string field = name;
  if (const auto found = others.find(name); found != others.end()) field = found->second;
  std::replace(field.begin(), field.end(), '-', '_');
  const std::vector<std::string> all = names();
  if (std::find(all.begin(), all.end(), field) != all.end()) return field;
  throw ConfigError("--across", in_quotes(name) + " is unknown", "one of " + join(all, ", "));
}

std::vector<analysis::CasePair> pairs_across(const Report& a, const Report& b, const std::string& field,
                                             bool any_machine, const std::string& both) {
  std::vector<analysis::CasePair> pairs;
  if (field == kSchemes) {
    pairs = analysis::same_shapes(a, b, any_machine);
    std::erase_if(pairs, [](const analysis::CasePair& pair) { return pair.a == nullptr || pair.b == nullptr; });
  } else {
    pairs = found_pairs(a, b, field, any_machine);
  }
  if (pairs.empty()) refuse_pairs(a, b, field, both);
  return pairs;
}

std::string field_between(const Report& a, const Report& b) {
  const auto pairs = analysis::same_shapes(a, b, false);
  const bool alike = std::any_of(pairs.begin(), pairs.end(),
                                 [](const analysis::CasePair& pair) { return pair.a != nullptr && pair.b != nullptr; });
  if (alike) return schemes_of(a) == schemes_of(b) ? "" : kSchemes;
  for (const std::string& field : report::shape_fields()) {
    if (!found_pairs(a, b, field, false).empty()) return field;
  }
  return "";
}

}  // namespace kvcast::app

std::vector<std::string> kvcast::across_fields() { return app::names(); }
