// The config that a file of weights brings with it.
#include "model/import.h"

#include "base/text.h"
#include "kvcast/kvcast.h"
#include "report/json.h"

namespace kvcast {

std::string imported_config(const std::string& file) {
  using report::Json;
  if (!is_utf8(file)) {
    throw ConfigError("--import", in_quotes(file) + " is not UTF-8", "reports name the file; give it another name");
  }
  const ImportedCase found = load_import(file);
  Json config = Json::object();
  if (found.config_json) {
    const Json stored = report::parse_json(*found.config_json, file + ": metadata kvcast.config");
    if (!stored.is_object() || !stored.contains("model") || !stored["model"].is_object()) {
      throw ConfigError(file, "metadata kvcast.config is not a config", "it must be the JSON of one");
    }
    // What the case is; not how long to measure it, nor on how many threads of what machine.
    config["model"] = stored["model"];
    if (stored.contains("run") && stored["run"].is_object()) {
      const Json& run = stored["run"];
      for (const char* key : {"seed", "trim", "dtype", "append"}) {
        if (run.contains(key)) config["run"][key] = run[key];
      }
      // One that only follows dtype is left to follow what --dtype says now.
      if (run.contains("kv_dtype") && run["kv_dtype"] != run.value("dtype", Json())) {
        config["run"]["kv_dtype"] = run["kv_dtype"];
      }
    }
  } else {
    Json& model = config["model"];
    model["dim"] = found.dim;
    model["layers"] = found.layers;
    if (found.ffn_dim % found.dim != 0) {
      throw ConfigError(file, "FFN width " + std::to_string(found.ffn_dim) + " with width " + std::to_string(found.dim),
                        "it must be a multiple");
    }
    model["ffn_factor"] = found.ffn_dim / found.dim;
    if (found.history_size) model["history_length"] = found.history_size->rows;
  }
  config["model"]["import"] = file;
  return config.dump();
}

}  // namespace kvcast
