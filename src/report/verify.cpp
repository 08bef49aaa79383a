// The formats of a proof of equality.
#include "report/views/verify.h"

#include <optional>
#include <string>
#include <vector>

#include "kvcast/error.h"
#include "kvcast/kvcast.h"
#include "report/columns.h"
#include "report/describe.h"
#include "report/json.h"
#include "report/render/terminal.h"

namespace kvcast {
namespace report {
namespace {

const std::vector<Column<SkippedScheme>>& skipped_columns() {
  using T = SkippedScheme;
  static const std::vector<Column<T>> columns = {
      describe<T>("scheme", "", "scheme of the list that was not compared", &T::scheme),
      describe<T>("reason", "", "why", &T::reason),
  };
  return columns;
}

/// A figure of outputs that were compared; unknown of others.
template <typename Get>
auto if_compared(Get get) {
  return [get](const StoredOutputs& row) { return row.why_not.empty() ? std::optional(get(row)) : std::nullopt; };
}

const std::vector<Column<StoredOutputs>>& stored_columns() {
  using T = StoredOutputs;
  static const std::vector<Column<T>> columns = {
      describe<T>("name", "", "tensor of the file", &T::name),
      describe<T>("candidates", "candidates", "first ones of the file that were compared", &T::candidates),
      describe<T>("max_abs", "", "largest difference", if_compared([](const T& row) { return row.error.max_abs; })),
      describe<T>("max_rel", "", "the same over the largest element",
                  if_compared([](const T& row) { return row.error.max_rel; })),
      describe<T>("largest", "", "largest element of those stored",
                  if_compared([](const T& row) { return row.largest; })),
      describe<T>("allowed", "", "largest `max_abs` that agrees",
                  if_compared([](const T& row) { return row.allowed; })),
      describe<T>("agrees", "", "`max_abs` is within `allowed`", if_compared([](const T& row) { return row.agrees; })),
      describe<T>("reason", "", "why they were not compared", known(&T::why_not)),
  };
  return columns;
}

const std::vector<Column<StaleError>>& stale_columns() {
  using T = StaleError;
  static const std::vector<Column<T>> columns = {
      describe<T>("read_at", "", "position of the output", &T::read_at),
      describe<T>("shape", "", "where it was computed: `full`, or what was cut down", &T::shape),
      describe<T>("candidates", "candidates", "each error is the largest of so many", &T::candidates),
      describe<T>("worst_candidate", "", "whose output has it", &T::worst_candidate),
      describe<T>("output", "", "error of the output", &T::output),
  };
  return columns;
}

Json equality_json(const Equivalence& value) {
  Json result = to_json(equivalence_columns(), value);
  result["tolerance_reference"] = result["tolerance"];
  result["layers"] = value.layers ? to_json(layer_sample_columns(), *value.layers) : Json(nullptr);
  Json& schemes = result["schemes"] = Json::array();
  for (const SchemeEquivalence& scheme : value.schemes) {
    Json& one = schemes.emplace_back(Json{{"scheme", to_json(Value(scheme.scheme))}});
    one.update(to_json(scheme_equivalence_columns(), scheme));
  }
  return result;
}

std::string verify_json(const VerifyResult& result) {
  Json root;
  root["shape"] = to_json(shape_columns(), result.shape);
  root["machine"] = to_json(machine_columns(), result.machine);
  root["warnings"] = to_json(warning_columns(), result.warnings);
  root["candidates"] = result.candidates;
  root["skipped"] = to_json(skipped_columns(), result.skipped);
  root["equivalence"] = equality_json(result.equivalence);
  root["stored_outputs"] = to_json(stored_columns(), result.stored);
  Json& stale = root["stale"] = nullptr;
  if (result.stale) {
    stale = to_json(stale_columns(), *result.stale);
    Json& layers = stale["kv_per_layer"] = Json::array();
    for (const ErrorPair& error : result.stale->kv_per_layer) layers.push_back(to_json(Value(error)));
  }
  return root.dump(2) + "\n";
}

}  // namespace
}  // namespace report

std::string render(const VerifyResult& result, const std::string& format, bool colour, bool details) {
  using namespace report;
  if (format == "table") return render_terminal(verify_document(result), {colour, details});
  if (format == "json") return verify_json(result);
  throw ConfigError("--format", "unknown format '" + format + "'", "one of table, json");
}

}  // namespace kvcast
