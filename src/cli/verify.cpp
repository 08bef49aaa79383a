// kvcast verify: how far the schemes are from float64 and from naive.
#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common.h"
#include "kvcast/words.h"

namespace kvcast::cli {
namespace {

std::optional<double> max_abs(const std::optional<ErrorPair>& error) {
  return error ? std::optional(error->max_abs) : std::nullopt;
}
std::optional<double> max_rel(const std::optional<ErrorPair>& error) {
  return error ? std::optional(error->max_rel) : std::nullopt;
}

std::string shape_text(const CaseShape& shape) {
  std::string text = fmt::format("L={} d={} heads={} kv_heads={} layers={} ffn_factor={}", shape.history_length,
                                 shape.dim, shape.heads, shape.kv_heads, shape.layers, shape.ffn_factor);
  if (shape.token_merge > 1) text += fmt::format(" token_merge={}", shape.token_merge);
  if (shape.query_tokens > 0) text += fmt::format(" query_tokens={}", shape.query_tokens);
  if (shape.candidate_from_layer > 0) text += fmt::format(" candidate_from_layer={}", shape.candidate_from_layer);
  return text + fmt::format(" {} KV {} mask={} trim={}", shape.dtype, shape.kv_dtype, shape.mask, shape.trim);
}

std::string equivalence_text(const Equivalence& equivalence) {
  std::vector<std::vector<std::string>> rows;
  for (const SchemeEquivalence& scheme : equivalence.schemes) {
    rows.push_back({scheme.scheme, human_error(max_abs(scheme.vs_reference)), human_error(max_rel(scheme.vs_reference)),
                    human_error(max_abs(scheme.vs_naive)), human_error(max_rel(scheme.vs_naive)),
                    human_error(scheme.reference_top_k_overlap), human_error(scheme.reference_kendall_tau),
                    human_error(scheme.top_k_overlap), human_error(scheme.kendall_tau),
                    scheme.agrees ? "yes" : coloured("NO", Colour::red, Stream::out)});
  }
  std::string out = text_table({"scheme", "float64 max abs", "max rel", "naive max abs", "max rel", "float64 top-k",
                                "tau", "naive top-k", "tau", "agrees"},
                               rows, {true, false, false, false, false, false, false, false, false, true});
  out += fmt::format("rankings by readout score: overlap of the top {}, Kendall's tau over {} candidates\n",
                     equivalence.top_k, equivalence.checked_candidates);
  out += fmt::format("tolerance (max abs): {} against float64, {} against naive; {} for naive against float64\n",
                     human_error(equivalence.tolerance_reference), human_error(equivalence.tolerance_naive),
                     human_error(equivalence.bound_reference));
  if (equivalence.layers) {
    const LayerSamples& layers = *equivalence.layers;
    out += fmt::format(
        "layers at the full shape, each from its own input: {} keys and {} outputs of {} layers; largest "
        "error {} x what rounding explains ({})\n",
        layers.keys, layers.outputs, layers.layers, human_error(layers.error), layers.where);
  }
  if (equivalence.tolerance_fp32) {
    std::vector<std::string> errors;
    for (const SchemeEquivalence& scheme : equivalence.schemes) {
      errors.push_back(scheme.scheme + " " + human_error(max_abs(scheme.vs_reference_fp32)));
    }
    out += fmt::format("the same schemes in fp32 (sensitive to a single key) against float64: {}; allowed {}\n",
                       fmt::join(errors, ", "), human_error(equivalence.tolerance_fp32));
  }
  return out + fmt::format("shape of the float64 reference: {}\n", equivalence.reference_shape);
}

std::string skipped_text(const std::vector<SkippedScheme>& skipped) {
  std::string out;
  for (const SkippedScheme& scheme : skipped)
    out += coloured("not compared: ", Colour::yellow, Stream::out) + scheme.scheme + ": " + scheme.reason + "\n";
  return out;
}

std::string stored_text(const VerifyResult& result) {
  std::string out;
  for (const StoredOutputs& stored : result.stored) {
    if (!stored.why_not.empty()) {
      out += coloured("not compared: ", Colour::yellow, Stream::out) +
             one_line(stored.name + " of the file: " + stored.why_not) + "\n";
      continue;
    }
    out += one_line(fmt::format("{} of the file, {} candidates: naive is off by {} of {}, allowed {}: ", stored.name,
                                stored.candidates, human_error(stored.error.max_abs), human_error(stored.largest),
                                human_error(stored.allowed)));
    out += (stored.agrees ? "agrees" : coloured("DIFFERS", Colour::red, Stream::out)) + "\n";
  }
  return out;
}

std::string stale_text(const StaleError& stale) {
  std::vector<std::vector<std::string>> rows;
  for (std::size_t layer = 0; layer < stale.kv_per_layer.size(); ++layer) {
    rows.push_back({fmt::format("K,V of layer {}", layer), human_error(stale.kv_per_layer[layer].max_abs),
                    human_error(stale.kv_per_layer[layer].max_rel)});
  }
  rows.push_back({fmt::format("output at the {}", stale.read_at), human_error(stale.output.max_abs),
                  human_error(stale.output.max_rel)});
  const std::string over = stale.candidates == 1 ? "1 candidate" : fmt::format("{} candidates", stale.candidates);
  return coloured("sharing the history would be wrong by:", Colour::red, Stream::out) + "\n" +
         fmt::format("(largest error over {}; output of candidate {}; computed at shape: {})\n", over,
                     stale.worst_candidate, stale.shape) +
         text_table({"", "max abs", "max rel"}, rows, {true, false, false});
}

void write_error(JsonWriter& json, const char* key, const std::optional<ErrorPair>& error) {
  if (!error) {
    json.null(key);
    return;
  }
  json.begin_object(key).field("max_abs", error->max_abs).field("max_rel", error->max_rel).end_object();
}

std::string result_json(const VerifyResult& result) {
  JsonWriter json;
  const CaseShape& shape = result.shape;
  json.begin_object().begin_object("shape");
  json.field("history_length", shape.history_length).field("dim", shape.dim).field("heads", shape.heads);
  json.field("kv_heads", shape.kv_heads).field("layers", shape.layers).field("ffn_factor", shape.ffn_factor);
  json.field("token_merge", shape.token_merge)
      .field("query_tokens", shape.query_tokens > 0 ? std::optional(shape.query_tokens) : std::nullopt);
  json.field("candidate_from_layer", shape.candidate_from_layer);
  json.field("dtype", shape.dtype).field("kv_dtype", shape.kv_dtype).field("threads", shape.threads);
  json.field("mask", shape.mask).field("trim", shape.trim).end_object();
  json.begin_object("machine").field("cpu_model", result.machine.cpu_model).field("isa", result.machine.isa);
  json.field("dense_isa", result.machine.dense_isa).end_object().begin_list("warnings");
  for (const Warning& warning : result.warnings) {
    json.begin_object().field("code", warning.code).field("text", warning.text).field("advice", warning.advice);
    json.end_object();
  }
  json.end_list().field("candidates", result.candidates).begin_list("skipped");
  for (const SkippedScheme& scheme : result.skipped) {
    json.begin_object().field("scheme", scheme.scheme).field("reason", scheme.reason).end_object();
  }
  json.end_list();

  const Equivalence& equivalence = result.equivalence;
  json.begin_object("equivalence").field("shareable", equivalence.shareable).field("agrees", equivalence.agrees);
  json.field("checked_candidates", equivalence.checked_candidates);
  json.field("judged_candidates", equivalence.judged_candidates);
  json.field("ranked_candidates", equivalence.ranked_candidates);
  json.field("tolerance_reference", equivalence.tolerance_reference);
  json.field("bound_reference", equivalence.bound_reference);
  json.field("tolerance_naive", equivalence.tolerance_naive);
  json.field("tolerance_fp32", equivalence.tolerance_fp32).field("top_k", equivalence.top_k);
  json.field("reference_shape", equivalence.reference_shape);
  if (equivalence.layers) {
    const LayerSamples& layers = *equivalence.layers;
    json.begin_object("layers").field("layers", layers.layers).field("outputs", layers.outputs);
    json.field("keys", layers.keys).field("error", layers.error).field("where", layers.where);
    json.field("agrees", layers.agrees).end_object();
  } else {
    json.null("layers");
  }
  json.begin_list("schemes");
  for (const SchemeEquivalence& scheme : equivalence.schemes) {
    json.begin_object().field("scheme", scheme.scheme).field("agrees", scheme.agrees);
    write_error(json, "vs_reference", scheme.vs_reference);
    write_error(json, "vs_reference_fp32", scheme.vs_reference_fp32);
    write_error(json, "vs_naive", scheme.vs_naive);
    json.field("reference_top_k_overlap", scheme.reference_top_k_overlap);
    json.field("reference_kendall_tau", scheme.reference_kendall_tau);
    json.field("top_k_overlap", scheme.top_k_overlap).field("kendall_tau", scheme.kendall_tau).end_object();
  }
  json.end_list().end_object();

  json.begin_list("stored_outputs");
  for (const StoredOutputs& stored : result.stored) {
    json.begin_object().field("name", stored.name).field("candidates", stored.candidates);
    if (stored.why_not.empty()) {
      json.field("max_abs", stored.error.max_abs).field("max_rel", stored.error.max_rel);
      json.field("largest", stored.largest).field("allowed", stored.allowed).field("agrees", stored.agrees);
      json.null("reason");
    } else {
      json.null("max_abs").null("max_rel").null("largest").null("allowed").null("agrees");
      json.field("reason", stored.why_not);
    }
    json.end_object();
  }
  json.end_list();

  if (!result.stale) return json.null("stale").end_object().str();
  json.begin_object("stale").field("read_at", result.stale->read_at);
  json.field("shape", result.stale->shape).field("candidates", result.stale->candidates);
  json.field("worst_candidate", result.stale->worst_candidate);
  write_error(json, "output", result.stale->output);
  json.begin_list("kv_per_layer");
  for (const ErrorPair& error : result.stale->kv_per_layer) write_error(json, "", error);
  return json.end_list().end_object().end_object().str();
}

class VerifyCommand : public Command {
 public:
  explicit VerifyCommand(CLI::App& app)
      : Command(app.add_subcommand("verify", "Check that every scheme computes the same as float64 and as naive")),
        format_(*app_, {"table", "json"}) {
    app_->add_option("--export", export_file_, "Write weights, inputs and outputs to a safetensors file")
        ->type_name("FILE");
    app_->add_flag("-q,--quiet", quiet_, "No progress on stderr");
    // verify compares all schemes on its own choice of candidates and times nothing.
    arguments_.attach(*app_, {"model.head_width", "model.head_layers", "run.candidates", "run.schemes", "run.cached",
                              "run.micro_batch", "measure.budget", "measure.precision", "measure.profile",
                              "measure.cold", "measure.pin"});
    app_->footer(
        "Exit 4 when a scheme disagrees, or when the mask rules out sharing (with the error it would cause).\n"
        "Examples:\n"
        "  kvcast verify smoke --export case.safetensors\n"
        "  kvcast verify smoke --mask bidirectional");
  }

  int execute() override {
    format_.check();
    if (export_file_ && export_file_->empty()) throw ConfigError("--export", "the file has no name", "");
    const Config config = arguments_.load(host_limits());
    if (const std::size_t shapes = grid(config).size(); shapes > 1) {
      throw ConfigError("verify", fmt::format("the config is a grid of {} shapes", shapes),
                        "one shape at a time: one value each for -L and --layers");
    }
    select_isa(config.run.isa);
    if (!quiet_) write_ignored_variables();
    Progress progress(quiet_);
    const VerifyResult result = verify(config, export_file_.value_or(""), progress.observer());
    progress.finish();

    write_stdout(format_.name() == "json" ? result_json(result) : result_text(result));
    if (export_file_ && !quiet_) write_paths({*export_file_});
    // The table shows them itself.
    if (format_.name() == "json" && !quiet_) write_warnings(result.warnings);
    if (result.stale) {
      print_error(fmt::format("check failed: mask '{}' cannot share the history", result.shape.mask));
      return kExitCheck;
    }
    if (!result.equivalence.agrees) {
      print_error("check failed: outputs differ: " + disagreement(result.equivalence));
      return kExitCheck;
    }
    if (const std::string failure = disagreement(result.stored, result.warnings); !failure.empty()) {
      print_error("check failed: " + failure);
      return kExitCheck;
    }
    return kExitOk;
  }

 private:
  static std::string result_text(const VerifyResult& result) {
    std::string text =
        fmt::format("{}\n{} candidates checked, {} of them against float64, on {}, dense products {}\n",
                    shape_text(result.shape), result.equivalence.checked_candidates,
                    result.equivalence.judged_candidates.value_or(0), result.machine.isa, result.machine.dense_isa);
    text += equivalence_text(result.equivalence) + skipped_text(result.skipped) + stored_text(result);
    for (const Warning& warning : result.warnings)
      text += coloured("note: ", Colour::yellow, Stream::out) + one_line(warning.text) + "\n";
    return text + (result.stale ? stale_text(*result.stale) : "");
  }

  ConfigArguments arguments_;
  FormatOption format_;
  std::optional<std::string> export_file_;
  bool quiet_ = false;
};

}  // namespace

std::unique_ptr<Command> make_verify_command(CLI::App& app) { return std::make_unique<VerifyCommand>(app); }

}  // namespace kvcast::cli
