// The config that a file of weights brings with it.
#include "engine/builtin/model/import.h"

#include <utility>

#include "app/notes.h"
#include "base/text.h"
#include "engine/problem.h"
#include "input/text/json.h"
#include "kvcast/kvcast.h"

namespace kvcast {

std::string imported_config(const std::string& file, std::int64_t heads) {
  if (!is_utf8(file)) {
    throw ConfigError("--import", in_quotes(file) + " is not UTF-8", "reports name the file; rename it");
  }
  const ImportedCase found = load_import(file);
  Json model = Json::object(), chosen = Json::object();
  // What the tensors tell; what the file says of itself goes before it.
  const std::int64_t token = found.history_size ? found.history_size->columns : found.dim;
  const bool merged = token > 0 && found.dim % token == 0;
  model["dim"] = merged ? token : found.dim;
  if (found.history_size) {
    model["token_merge"] = merged ? found.dim / token : 1;
    model["history_length"] = found.history_size->rows;
  }
  model["layers"] = found.layers;
  if (found.ffn_dim % found.dim == 0) model["ffn_factor"] = found.ffn_dim / found.dim;
  if (found.config_json) {
    const Json stored = parse_json(*found.config_json, file + ": metadata kvcast.config");
    if (!stored.is_object() || !stored.contains("model") || !stored["model"].is_object()) {
      throw ConfigError(file, "metadata kvcast.config is not a config", "it must be a config in JSON");
    }
    // What the case is; not how long to measure it, nor on how many threads of what machine.
    model.update(stored["model"]);
    if (model.contains("heads") && model["heads"].is_number_integer()) heads = model["heads"].get<std::int64_t>();
    if (stored.contains("run") && stored["run"].is_object()) {
      const Json& run = stored["run"];
      for (const char* key : {"seed", "trim", "dtype", "append"}) {
        if (run.contains(key)) chosen[key] = run[key];
      }
      // One that only follows dtype is left to follow what --dtype says now.
      if (run.contains("kv_dtype") && run["kv_dtype"] != run.value("dtype", Json())) {
        chosen["kv_dtype"] = run["kv_dtype"];
      }
    }
  } else if (found.ffn_dim % found.dim != 0) {
    throw ConfigError(file, "FFN width " + std::to_string(found.ffn_dim) + " with width " + std::to_string(found.dim),
                      "it must be a multiple");
  }
  const bool narrow = found.kv_dim < found.dim && heads >= 1 && heads <= found.dim;
  if (narrow && !model.contains("kv_heads") && heads * found.kv_dim % found.dim == 0) {
    model["kv_heads"] = heads * found.kv_dim / found.dim;
  }
  model["import"] = file;
  Json config = Json::object();
  config["model"] = std::move(model);
  if (!chosen.empty()) config["run"] = std::move(chosen);
  return config.dump();
}

std::vector<Warning> check_import(const Config& config) {
  if (config.model.import.empty()) return {};
  const ImportedCase found = load_import(config.model.import);
  for (const Config& one : grid(config)) {
    if (one.model.layers <= found.layers) found.check_values(model_shape(one), one.model.history_length);
  }
  return app::notes_on_import(config, found);
}

}  // namespace kvcast
