// What to run. A Config is plain data; the field table in src/config/fields.cpp describes each member once and
// feeds the JSON reader, --set, the flags, the help and the docs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kvcast/names.h"
#include "kvcast/shape.h"

namespace kvcast {

/// Layout and mask of one sequence of L history tokens and one candidate (docs/model.md §1).
enum class Mask {
  causal,               ///< candidate last, position i sees j <= i; sharing is valid
  history_blind,        ///< candidate first, position i sees j >= i (LONGER); sharing is valid
  target_first_causal,  ///< candidate first, position i sees j <= i; sharing is invalid
  bidirectional,        ///< all positions see all; sharing is invalid from two layers on
};
template <>
struct Names<Mask> {
  static constexpr std::pair<Mask, std::string_view> all[] = {{Mask::causal, "causal"},
                                                              {Mask::history_blind, "history-blind"},
                                                              {Mask::target_first_causal, "target-first-causal"},
                                                              {Mask::bidirectional, "bidirectional"}};
};

struct ModelConfig : Shape {
  Mask mask = Mask::causal;
  std::string import;  ///< safetensors file of weights and tokens; empty = seeded
};

struct RunConfig {
  std::vector<std::int64_t> candidates = {1, 5, 10, 50, 100};  ///< N of every point, ascending, unique
  std::vector<std::string> schemes = {"naive", "shared"};      ///< names from the scheme list
  std::string dtype = "fp32";             ///< weights, activations: "fp32", "bf16"; accumulation is fp32
  std::string kv_dtype = "auto";          ///< KV cache: "fp32", "bf16"; "auto" until resolved means "as dtype"
  bool cached = false;                    ///< also a returning user whose whole history is cached: adds the scheme
  std::int64_t append = 0;                ///< also one with this many new history tokens: adds the scheme; 0 = no
  std::vector<std::int64_t> micro_batch;  ///< candidates per pass of packed, one row each; empty = all in one pass
  std::string isa = "auto";               ///< SIMD target to run on, "auto" = the best here
  std::int64_t workers = 1;               ///< requests served at the same time, each on `threads` of its own
  std::int64_t cpus = 0;                  ///< that a layout of a grid may take; 0 until resolved as below
  std::int64_t threads = 0;               ///< of a worker; 0 until resolved means "the CPUs this process may use"
  std::int64_t seed = 1;
  bool trim = true;  ///< the last history layer computes only K and V, in every scheme
};

/// A grid: one case per combination. Empty lists stand for the model's own value.
struct SweepConfig {
  std::vector<std::int64_t> history_length;  ///< L, ascending, unique
  std::vector<std::int64_t> layers;          ///< M, ascending, unique
  std::vector<std::int64_t> workers;         ///< ascending, unique; with `threads` a layout
  std::vector<std::int64_t> threads;         ///< of a worker, ascending, unique
};

struct MeasureConfig {
  double budget_s = 20.0;             ///< wall time of the whole command
  double precision = 0.02;            ///< stop when every speed-up's interval is narrower (half-width / value)
  bool cold = false;                  ///< every timing is another user's, with empty caches
  bool pin = false;                   ///< each thread stays on one CPU
  bool profile = false;               ///< also report where each pass spends its time
  std::int64_t max_memory_bytes = 0;  ///< 0 until resolved means "what the machine has available"
};

struct Config {
  std::string comment;  ///< where the shape comes from
  ModelConfig model;
  SweepConfig sweep;
  RunConfig run;
  MeasureConfig measure;
  /// Properties of an imported model that neither the file nor the user gave, with the assumed value: "heads 4". Not a
  /// field: not in the JSON.
  std::vector<std::string> assumed = {};
};

/// One member of Config as users see it.
struct FieldInfo {
  std::string path;                       ///< JSON path with dots, as for --set: "model.dim"
  std::string flags;                      ///< flags in CLI11 syntax, "-d,--dim"; empty when only --set reaches it
  std::string type;                       ///< "int", "int list", "number", "bool", "text", "text list", "time", "bytes"
  std::string allowed;                    ///< in words: "at least 1", "causal, history-blind, ..."
  std::string default_value;              ///< as text
  std::string doc;                        ///< one sentence, with the unit
  bool advanced;                          ///< rarely set
  std::vector<std::string> choices = {};  ///< all values, where they are a closed list; of a list its items
  bool is_path = false;                   ///< names a file
};

/// Every config field in display order.
std::vector<FieldInfo> config_fields();

/// A value given outside a file. path: "model.dim"; value: text as typed; origin: how to name it in a message
/// ("--dim", "--set model.dim").
struct Assignment {
  std::string path, value, origin;
};

/// PATH=VALUE as --set takes it. Text of another form gets an empty path; load_config() then refuses it.
Assignment parse_set(const std::string& text);

/// Facts of this machine that validation and defaults need. Injected so that loading a config is a pure function.
struct HostLimits {
  std::int64_t cpus = 1;
  std::int64_t available_memory_bytes = 0;  ///< 0 = unknown
};

/// Config from a preset name or file (empty = defaults), then the assignments in order, validated and resolved
/// (kv_heads, kv_dtype, threads and max_memory have their values; cached, append and micro_batch have added their
/// schemes).
/// Errors: ConfigError naming file or flag, JSON pointer, value and what is allowed; IoError when a file cannot be
/// read.
Config load_config(const std::string& preset_or_file, const std::vector<Assignment>& assignments,
                   const HostLimits& host);

/// The same from JSON text; `where` names the text in messages.
Config parse_config(const std::string& json_text, const std::string& where, const std::vector<Assignment>& assignments,
                    const HostLimits& host);

/// JSON of a Config, keys by path, 2-space indent, trailing newline. Reading it back gives the same Config.
std::string config_to_json(const Config& config);

/// The single cases of a grid, by layers, L, workers, then threads: configs without a sweep. Layouts of a grid that
/// would take more than run.cpus are left out. At least one.
std::vector<Config> grid(const Config& config);
/// CPUs that the largest layout of a grid takes: workers times their threads.
std::int64_t busy_cpus(const Config& config);

/// Whole numbers as for -N: "1,5,10", "1-1024*2", "100-500+100". Errors: ConfigError naming `origin` ("--layers").
std::vector<std::int64_t> parse_list(const std::string& text, const std::string& origin);
/// A number or a percentage: "0.05", "5%". Errors: ConfigError naming `origin`.
double parse_fraction(const std::string& text, const std::string& origin);
/// A percentage, "40" or "40%", as a fraction in (0,1). An ambiguous number ("0.4") needs its %.
/// Errors: ConfigError naming `origin`.
double parse_percent(const std::string& text, const std::string& origin);
/// Seconds of "50ms", above 0. Errors: ConfigError naming `origin`.
double parse_seconds(const std::string& text, const std::string& origin);
/// Bytes of "8GiB", at least 1. Errors: ConfigError naming `origin`.
std::int64_t parse_size(const std::string& text, const std::string& origin);
/// Per second, of "200", "200/s", "12000/min" or "1e6/h", above 0. Errors: ConfigError naming `origin`.
double parse_rate(const std::string& text, const std::string& origin);
/// A number, nothing else. Errors: ConfigError naming `origin`.
double parse_number(const std::string& text, const std::string& origin);

struct ConfigDifference {
  std::string path, in_a, in_b;  ///< "model.dim"; the values as in JSON
};
/// Fields that differ, in the order of the config, except measure.max_memory: available memory changes from minute to
/// minute.
std::vector<ConfigDifference> config_differences(const Config& a, const Config& b);

struct PresetInfo {
  std::string name, comment, json;
};
/// The presets built into the binary (configs/*.json), by name.
const std::vector<PresetInfo>& presets();

}  // namespace kvcast
