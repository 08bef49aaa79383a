// JSON text and assignments into a validated Config. Every message names where the value came from.
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/text.h"
#include "config/fields.h"
#include "input/text/json.h"
#include "kvcast/config.h"
#include "kvcast/error.h"

namespace kvcast {
namespace {

using config::Field;

constexpr std::size_t kMaxFileBytes = std::size_t{16} << 20;
constexpr std::int64_t kMaxJsonValues = 100000;
// A grid is planned point by point before it is measured, and every round of a run is a line of its journal.
constexpr std::int64_t kMaxShapes = 10000, kMaxPoints = 100000;
// More threads than this per CPU only measure the scheduler.
constexpr std::int64_t kMaxThreadsPerCpu = 4;

std::string allowed(const Field& field) { return "allowed: " + field.allowed; }

std::vector<std::string> names_in(std::string_view section) {
  std::vector<std::string> names;
  for (const Field& field : config::fields()) {
    if (config::section_of(field.path) == section) names.emplace_back(config::leaf_of(field.path));
  }
  return names;
}

// Names that may stand at the top of the file: sections and fields without one.
std::vector<std::string> top_names() {
  std::vector<std::string> names;
  for (const Field& field : config::fields()) {
    const std::string_view section = config::section_of(field.path);
    const std::string name(section.empty() ? std::string_view(field.path) : section);
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

std::string suggest_path(const std::string& path) {
  std::vector<std::string> paths;
  for (const Field& field : config::fields()) {
    // "dim" for "model.dim" is the most common mistake, and a large edit distance.
    if (config::leaf_of(field.path) == config::leaf_of(path)) return "did you mean '" + field.path + "'?";
    paths.push_back(field.path);
  }
  return suggest(path, paths);
}

class Reader {
 public:
  /// folder: of the file that the text comes from; none where it comes from no file.
  explicit Reader(std::optional<std::filesystem::path> folder = {}) : folder_(std::move(folder)) {}

  void read_file_text(const std::string& json_text, const std::string& where) {
    JsonLiterals literals;
    const Json root = parse_json(json_text, where, {kMaxJsonValues, true, &literals});
    const JsonPlace top(root, where, &literals);
    if (!root.is_object()) throw ConfigError(where, "is " + top.described(), "a config is a JSON object");
    const std::vector<std::string> sections = top_names();
    for (const auto& [key, member] : top.members()) {
      const Field* field = config::find_field(key);
      if (field != nullptr && config::section_of(field->path).empty()) {
        read_member(*field, member);
        continue;
      }
      if (std::find(sections.begin(), sections.end(), key) == sections.end()) {
        throw ConfigError(member.path(), "unknown key", suggest(key, sections));
      }
      if (!member.value().is_object()) {
        throw ConfigError(member.path(), "is " + member.described() + ", not an object", "");
      }
      read_section(key, member);
    }
  }

  void assign(const Assignment& assignment) {
    if (assignment.path.empty()) {
      throw ConfigError(assignment.origin, in_quotes(assignment.value) + " is not PATH=VALUE",
                        "such as " + assignment.origin + " model.dim=512");
    }
    const Field* field = config::find_field(assignment.path);
    if (field == nullptr) throw ConfigError(assignment.origin, "unknown path", suggest_path(assignment.path));
    if (!field->swept.empty()) field = swept_or_single(*field, assignment.value);
    const std::string problem = field->read(config_, assignment.value);
    if (!problem.empty()) throw ConfigError(assignment.origin, problem, allowed(*field));
    set_at(*field, assignment.origin);
  }

  Config resolve(const HostLimits& host) {
    ModelConfig& model = config_.model;
    const std::int64_t cpus = std::max<std::int64_t>(host.cpus, 1);
    // The model's own value is the largest of its grid: what holds for it in memory holds for the others.
    collapse(config_.sweep.history_length, model.history_length);
    collapse(config_.sweep.layers, model.layers);
    collapse(config_.sweep.workers, config_.run.workers);
    collapse(config_.sweep.threads, config_.run.threads);
    if (model.kv_heads == 0) model.kv_heads = model.heads;
    if (config_.run.cpus == 0) config_.run.cpus = cpus;
    if (config_.run.threads == 0) config_.run.threads = std::max<std::int64_t>(1, cpus / config_.run.workers);
    if (config_.measure.max_memory_bytes == 0) config_.measure.max_memory_bytes = host.available_memory_bytes;

    if (config_.run.kv_dtype == "auto") config_.run.kv_dtype = config_.run.dtype;

    const auto shapes = static_cast<std::int64_t>(values(config_.sweep.history_length, 0).size()) *
                        static_cast<std::int64_t>(values(config_.sweep.layers, 0).size()) *
                        static_cast<std::int64_t>(values(config_.sweep.workers, 0).size()) *
                        static_cast<std::int64_t>(values(config_.sweep.threads, 0).size());
    if (shapes > kMaxShapes) {
      fail({"sweep.history_length", "sweep.layers", "sweep.workers", "sweep.threads"},
           std::to_string(shapes) + " shapes", "allowed: at most " + std::to_string(kMaxShapes) + " in one grid");
    }
    for (const std::int64_t length : values(config_.sweep.history_length, model.history_length)) {
      if (length % model.token_merge == 0) continue;
      fail({"model.history_length", "sweep.history_length", "model.token_merge"},
           "history_length " + std::to_string(length) + " is not divisible by token_merge " +
               std::to_string(model.token_merge),
           "token_merge must divide history_length");
    }
    const Checked model_width = checked_mul(model.dim, model.token_merge);
    if (!model_width) {
      fail({"model.dim", "model.token_merge"},
           "dim " + std::to_string(model.dim) + ", token_merge " + std::to_string(model.token_merge) +
               ": the width overflows 64 bits",
           "make one smaller");
    }
    if (*model_width % model.heads != 0) {
      const std::string merged = model.token_merge == 1 ? "" : " x token_merge " + std::to_string(model.token_merge);
      fail({"model.dim", "model.heads", "model.token_merge"},
           "dim " + std::to_string(model.dim) + merged + " is not divisible by heads " + std::to_string(model.heads),
           model.token_merge == 1 ? "dim must be a multiple of heads" : "their product must be a multiple of heads");
    }
    if (model.heads % model.kv_heads != 0) {
      fail({"model.heads", "model.kv_heads"},
           "heads " + std::to_string(model.heads) + " is not divisible by kv_heads " + std::to_string(model.kv_heads),
           "kv_heads must divide heads");
    }
    const std::int64_t fewest_layers = values(config_.sweep.layers, model.layers).front();
    if (model.candidate_from_layer >= fewest_layers) {
      fail({"model.candidate_from_layer", "model.layers", "sweep.layers"},
           "candidate_from_layer " + std::to_string(model.candidate_from_layer) + " with layers " +
               std::to_string(fewest_layers),
           "allowed: 0 to " + std::to_string(fewest_layers - 1) + ", the last layer");
    }
    if (model.query_tokens > 0 && model.mask != Mask::causal && model.mask != Mask::history_blind) {
      fail({"model.query_tokens", "model.mask"},
           "query_tokens " + std::to_string(model.query_tokens) + " under mask " + to_string(model.mask),
           "query tokens need mask causal or history-blind");
    }
    resolve_added_schemes();
    const Checked max_threads = checked_mul(cpus, kMaxThreadsPerCpu);
    if (max_threads && config_.run.threads > *max_threads) {
      fail({"run.threads"},
           std::to_string(config_.run.threads) + " threads on " + std::to_string(cpus) + (cpus == 1 ? " CPU" : " CPUs"),
           "allowed: 1 to " + std::to_string(*max_threads) + ", four times the CPUs");
    }
    if (config_.run.workers > cpus) {
      fail({"run.workers", "sweep.workers"},
           std::to_string(config_.run.workers) + " workers on " + std::to_string(cpus) + (cpus == 1 ? " CPU" : " CPUs"),
           "allowed: 1 to " + std::to_string(cpus));
    }
    const std::int64_t smallest = values(config_.sweep.workers, config_.run.workers).front() *
                                  values(config_.sweep.threads, config_.run.threads).front();
    if ((!config_.sweep.workers.empty() || !config_.sweep.threads.empty()) && smallest > config_.run.cpus) {
      fail({"run.cpus", "sweep.workers", "sweep.threads"},
           "no layout takes " + std::to_string(config_.run.cpus) + " CPUs or fewer", "fewer workers or threads");
    }
    if (config_.run.workers > 1 && config_.measure.pin) {
      fail({"measure.pin", "run.workers", "sweep.workers"}, "several workers are not pinned",
           "one worker, or no --pin");
    }
    check_points(shapes);
    check_sizes();
    if (!model.import.empty()) list_assumed();
    return config_;
  }

 private:
  void list_assumed() {
    const auto said = [&](const std::string& path) { return origins_.contains(path); };
    const auto list = [&](const char* path) {
      config_.assumed.push_back(std::string(config::leaf_of(path)) + " " + config::find_field(path)->text(config_));
    };
    if (!said("model.heads")) list("model.heads");
    // With the number of heads, the tensors' shapes tell it.
    if (!said("model.heads") || (config_.model.kv_heads != config_.model.heads && !said("model.kv_heads"))) {
      list("model.kv_heads");
    }
    for (const char* path : {"model.mask", "model.history_length", "model.token_merge", "model.query_tokens",
                             "model.candidate_from_layer"}) {
      const Field& field = *config::find_field(path);
      if (!said(path) && (field.swept.empty() || !said(field.swept))) list(path);
    }
  }

  void read_section(const std::string& section, const JsonPlace& place) {
    for (const auto& [key, member] : place.members()) {
      const Field* field = config::find_field(section + "." + key);
      if (field == nullptr) throw ConfigError(member.path(), "unknown key", suggest(key, names_in(section)));
      read_member(*field, member);
    }
  }

  // A list asks for a grid; a single value ends the grid that a preset may have asked for.
  const Field* swept_or_single(const Field& field, std::string_view typed) {
    const Field* list = config::find_field(field.swept);
    if (typed.find_first_of(",-", 1) != std::string_view::npos && typed != "auto") return list;
    list->read(config_, "auto");
    return &field;
  }

  void read_member(const Field& field, const JsonPlace& place) {
    const std::string problem = read_json(field, place, config_);
    if (!problem.empty()) throw ConfigError(place.path(), problem, allowed(field));
    if (field.is_path && folder_) keep_inside(field, place.path());
    set_at(field, place.path());
  }

  // A config may come from a stranger, who must not choose which files of ours are opened.
  void keep_inside(const Field& field, const std::string& pointer) {
    namespace fs = std::filesystem;
    const std::string text = field.text(config_);
    if (text.empty()) return;
    const fs::path named(text), whole = *folder_ / named;
    std::error_code error;
    const fs::path root = fs::weakly_canonical(folder_->empty() ? fs::path(".") : *folder_, error);
    const fs::path target = error ? fs::path() : fs::weakly_canonical(whole, error);  // behind symbolic links
    const bool up = std::find(named.begin(), named.end(), fs::path("..")) != named.end();
    const bool below = std::mismatch(root.begin(), root.end(), target.begin(), target.end()).first == root.end();
    if (error || named.is_absolute() || up || !below) {
      throw ConfigError(pointer, in_quotes(text) + " leaves the folder of the config file",
                        "allowed: a file below that folder; " + field.flags + " takes any");
    }
    field.read(config_, whole.lexically_normal().string());
  }

  void set_at(const Field& field, const std::string& where) { origins_[field.path] = {where, ++assignments_}; }

  // A grid over one value is none.
  static void collapse(std::vector<std::int64_t>& list, std::int64_t& own) {
    if (!list.empty()) own = list.back();
    if (list.size() == 1) list.clear();
  }
  /// Ascending.
  static std::vector<std::int64_t> values(const std::vector<std::int64_t>& list, std::int64_t own) {
    return list.empty() ? std::vector<std::int64_t>{own} : list;
  }

  // --cached, --append and --micro-batch are short for adding the scheme, which the effective config then names.
  void resolve_added_schemes() {
    RunConfig& run = config_.run;
    const ModelConfig& model = config_.model;
    const auto has = [&](const char* name) {
      return std::find(run.schemes.begin(), run.schemes.end(), name) != run.schemes.end();
    };
    const std::int64_t shortest = values(config_.sweep.history_length, model.history_length).front();
    if (run.append > shortest || run.append % model.token_merge != 0) {
      fail({"run.append", "model.history_length", "sweep.history_length", "model.token_merge"},
           "append " + std::to_string(run.append) + " with history_length " + std::to_string(shortest) +
               " and token_merge " + std::to_string(model.token_merge),
           "append is part of the history, in whole merged tokens");
    }
    if (run.append == 0 && has("append")) {
      fail({"run.append", "run.schemes"}, "scheme 'append' without new tokens", "say how many, such as --append 20");
    }
    if (run.cached && !has("cached")) run.schemes.emplace_back("cached");
    if (run.append > 0 && !has("append")) run.schemes.emplace_back("append");
    if (!run.micro_batch.empty() && !has("packed")) run.schemes.emplace_back("packed");
  }

  // Blames the field among `paths` that was set last.
  [[noreturn]] void fail(const std::vector<std::string>& paths, const std::string& problem,
                         const std::string& hint) const {
    Origin latest{paths.front() + " (default)", 0};
    for (const std::string& path : paths) {
      const auto found = origins_.find(path);
      if (found != origins_.end() && found->second.order > latest.order) latest = found->second;
    }
    throw ConfigError(latest.where, problem, hint);
  }

  void check_points(std::int64_t shapes) const {
    const RunConfig& run = config_.run;
    const bool packed = std::find(run.schemes.begin(), run.schemes.end(), "packed") != run.schemes.end();
    const std::size_t rows = run.schemes.size() + (packed ? std::max<std::size_t>(1, run.micro_batch.size()) - 1 : 0);
    // Each factor is a list of at most 10000 values.
    const std::int64_t points =
        shapes * static_cast<std::int64_t>(run.candidates.size()) * static_cast<std::int64_t>(rows);
    if (points <= kMaxPoints) return;
    fail({"run.candidates", "run.schemes", "run.micro_batch", "sweep.history_length", "sweep.layers"},
         std::to_string(shapes) + (shapes == 1 ? " shape x " : " shapes x ") + std::to_string(run.candidates.size()) +
             " N x " + std::to_string(rows) + " schemes are " + std::to_string(points) + " points",
         "allowed: at most " + std::to_string(kMaxPoints));
  }

  // No size that any stage computes in bytes may leave int64; stages may then multiply plainly.
  void check_sizes() const {
    const ModelConfig& m = config_.model;
    constexpr std::int64_t kElement = 4;
    const std::int64_t max_candidates = config_.run.candidates.back(), model_width = m.width();
    const Checked tokens = checked_add(m.positions(), 1);
    const Checked widest =
        checked_mul(kElement, checked_add(checked_mul(m.ffn_factor, model_width), checked_mul(3, model_width)));
    const Checked layer = checked_mul(model_width, widest, 2);
    const struct {
      const char* what;
      Checked bytes;
      std::vector<std::string> paths;
    } sizes[] = {
        {"one layer's weights", layer, {"model.dim", "model.ffn_factor"}},
        {"the weights of all layers", checked_mul(layer, m.layers), {"model.dim", "model.ffn_factor", "model.layers"}},
        {"the activations of one history",
         checked_mul(tokens, widest),
         {"model.history_length", "model.dim", "model.ffn_factor"}},
        {"the KV cache of one history",
         checked_mul(2, kElement, m.layers, tokens, model_width),
         {"model.history_length", "model.dim", "model.layers"}},
        {"the ranking head's weights",
         checked_mul(kElement, m.head_width, checked_add(model_width, checked_mul(m.head_layers, m.head_width))),
         {"model.dim", "model.head_width", "model.head_layers"}},
        {"the candidates", checked_mul(max_candidates, widest), {"run.candidates", "model.dim", "model.ffn_factor"}},
    };
    for (const auto& size : sizes) {
      if (size.bytes) continue;
      std::vector<std::string> factors;
      for (const std::string& path : size.paths) {
        const std::string value =
            path == "run.candidates" ? std::to_string(max_candidates) : config::find_field(path)->text(config_);
        factors.push_back(std::string(config::leaf_of(path)) + " " + value);
      }
      fail(size.paths, join(factors, ", ") + ": the size of " + size.what + " overflows 64 bits", "make one smaller");
    }
  }

  struct Origin {
    std::string where;
    std::int64_t order;
  };
  std::optional<std::filesystem::path> folder_;
  Config config_;
  std::map<std::string, Origin> origins_;
  std::int64_t assignments_ = 0;
};

std::string read_whole_file(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) throw IoError(path, "is a directory, not a config file");
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) throw IoError(path, errno == 0 ? "cannot be opened" : std::strerror(errno));
  std::string text(kMaxFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) throw IoError(path, "cannot be read");
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kMaxFileBytes) throw ConfigError(path, "is larger than 16 MiB", "a config file is small");
  return text;
}

std::string preset_text(const std::string& name) {
  std::vector<std::string> names;
  for (const PresetInfo& preset : presets()) {
    if (preset.name == name) return preset.json;
    names.push_back(preset.name);
  }
  const std::string nearest = nearest_name(name, names);
  std::error_code ignored;
  const std::string file = std::filesystem::exists(name, ignored) ? "; for the file, write ./" + printable(name) : "";
  throw ConfigError(
      in_quotes(name), "unknown preset",
      (nearest.empty() ? "" : "did you mean '" + nearest + "'? ") + "presets: " + join(names, ", ") + file);
}

bool names_file(const std::string& text) {
  return text.find('/') != std::string::npos || text.find(".json") != std::string::npos;
}

}  // namespace

Assignment parse_set(const std::string& text) {
  const std::size_t equals = text.find('=');
  // Refused when the config is loaded, to report all faults the same way.
  if (equals == std::string::npos || equals == 0) return {"", text, "--set"};
  const std::string path = text.substr(0, equals);
  return {path, text.substr(equals + 1), "--set " + printable(path)};
}

std::vector<Config> grid(const Config& config) {
  const SweepConfig& sweep = config.sweep;
  const std::size_t layouts =
      std::max<std::size_t>(1, sweep.workers.size()) * std::max<std::size_t>(1, sweep.threads.size());
  std::vector<Config> cases;
  for (const std::int64_t layers : sweep.layers.empty() ? std::vector{config.model.layers} : sweep.layers) {
    for (const std::int64_t length :
         sweep.history_length.empty() ? std::vector{config.model.history_length} : sweep.history_length) {
      for (const std::int64_t workers : sweep.workers.empty() ? std::vector{config.run.workers} : sweep.workers) {
        for (const std::int64_t threads : sweep.threads.empty() ? std::vector{config.run.threads} : sweep.threads) {
          if (layouts > 1 && config.run.cpus > 0 && workers * threads > config.run.cpus) continue;
          Config one = config;
          one.sweep = {};
          one.model.layers = layers;
          one.model.history_length = length;
          one.run.workers = workers;
          one.run.threads = threads;
          cases.push_back(std::move(one));
        }
      }
    }
  }
  return cases;
}

std::int64_t busy_cpus(const Config& config) {
  std::int64_t most = 1;
  for (const Config& one : grid(config)) most = std::max(most, one.run.workers * one.run.threads);
  return most;
}

namespace {

Config read_config(Reader reader, const std::string& json_text, const std::string& where,
                   const std::vector<Assignment>& assignments, const HostLimits& host) {
  reader.read_file_text(json_text, where);
  for (const Assignment& assignment : assignments) reader.assign(assignment);
  return reader.resolve(host);
}

}  // namespace

Config parse_config(const std::string& json_text, const std::string& where, const std::vector<Assignment>& assignments,
                    const HostLimits& host) {
  return read_config(Reader(), json_text, where, assignments, host);
}

Config load_config(const std::string& preset_or_file, const std::vector<Assignment>& assignments,
                   const HostLimits& host) {
  if (preset_or_file.empty()) return parse_config("{}", "defaults", assignments, host);
  if (names_file(preset_or_file)) {
    Reader reader(std::filesystem::path(preset_or_file).parent_path());
    return read_config(std::move(reader), read_whole_file(preset_or_file), printable(preset_or_file, 200), assignments,
                       host);
  }
  Config config = parse_config(preset_text(preset_or_file), "preset " + preset_or_file, assignments, host);
  config.assumed.clear();  // a preset is a whole shape, and was asked for
  return config;
}

std::string config_to_json(const Config& config) {
  std::string out = "{";
  std::string_view open_section;
  bool first = true;
  for (const Field& field : config::fields()) {
    const std::string_view section = config::section_of(field.path);
    if (section != open_section) {
      if (!open_section.empty()) out += "\n  }";
      if (!section.empty()) {
        out += (out == "{" ? "\n  \"" : ",\n  \"") + std::string(section) + "\": {";
        first = true;
      }
      open_section = section;
    }
    out += first ? "\n" : ",\n";
    out += section.empty() ? "  \"" : "    \"";
    out += std::string(config::leaf_of(field.path)) + "\": " + field.json(config);
    first = false;
  }
  return out + (open_section.empty() ? "\n}\n" : "\n  }\n}\n");
}

}  // namespace kvcast
