#include "report/views/verify.h"

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "kvcast/words.h"
#include "report/layout.h"
#include "report/views/cells.h"
#include "report/views/equality.h"

namespace kvcast::report {
namespace {

/// The outcome, and whether it is a failure.
std::pair<std::string, bool> outcome(const VerifyResult& result) {
  if (result.stale) return {"mask '" + one_line(result.shape.mask) + "' cannot share the history", true};
  if (!result.equivalence.agrees) return {"outputs DISAGREE: " + one_line(disagreement(result.equivalence)), true};
  if (const std::string failure = disagreement(result.stored, result.warnings); !failure.empty()) {
    return {one_line(failure), true};
  }
  return {"all " + counted(static_cast<std::int64_t>(result.equivalence.schemes.size()), "scheme") +
              " agree with float64 and with naive",
          false};
}

std::string shape_text(const CaseShape& shape) {
  std::string text = fmt::format("L={} d={} heads={} kv_heads={} layers={} ffn_factor={}", shape.history_length,
                                 shape.dim, shape.heads, shape.kv_heads, shape.layers, shape.ffn_factor);
  if (shape.token_merge > 1) text += fmt::format(" token_merge={}", shape.token_merge);
  if (shape.query_tokens > 0) text += fmt::format(" query_tokens={}", shape.query_tokens);
  if (shape.candidate_from_layer > 0) text += fmt::format(" candidate_from_layer={}", shape.candidate_from_layer);
  return text + fmt::format(" {} KV {} mask={} trim={}", shape.dtype, shape.kv_dtype, shape.mask, shape.trim);
}

Text stored_text(const StoredOutputs& stored) {
  if (!stored.why_not.empty()) {
    return {"not compared", {one_line(stored.name + " of the file: " + stored.why_not)}, Emphasis::warning};
  }
  const std::string text = fmt::format("{} of the file, {}: naive is off by {} of {}, allowed {}: {}", stored.name,
                                       counted(stored.candidates, "candidate"), error_cell(stored.error.max_abs).text,
                                       error_cell(stored.largest).text, error_cell(stored.allowed).text,
                                       stored.agrees ? "agrees" : "DIFFERS");
  return {"file", {one_line(text)}, stored.agrees ? Emphasis::none : Emphasis::bad};
}

Section stale_section(const StaleError& stale) {
  Table table{"what sharing the history would be wrong by", {{""}, number_head("max abs"), number_head("max rel")}, {}};
  const auto row = [&](const std::string& name, const ErrorPair& error) {
    table.rows.push_back({{name}, error_cell(error.max_abs), error_cell(error.max_rel)});
  };
  for (std::size_t layer = 0; layer < stale.kv_per_layer.size(); ++layer) {
    row(fmt::format("K,V of layer {}", layer), stale.kv_per_layer[layer]);
  }
  row("output at the " + one_line(stale.read_at), stale.output);
  table.note = fmt::format("largest over {}, the output of candidate {}; computed at shape: {}",
                           counted(stale.candidates, "candidate"), stale.worst_candidate, one_line(stale.shape));
  return {"", false, {std::move(table)}};
}

}  // namespace

Document verify_document(const VerifyResult& result) {
  const auto [answer, failed] = outcome(result);
  Document document{sentence(answer), failed ? Emphasis::bad : Emphasis::strong, {}};
  Section first{
      "",
      false,
      {Text{"shape", {shape_text(result.shape)}, Emphasis::faint},
       Text{"ran on",
            {one_line_or_dash(result.machine.isa), "dense products " + one_line_or_dash(result.machine.dense_isa)},
            Emphasis::faint}}};
  for (const SkippedScheme& scheme : result.skipped) {
    first.blocks.push_back(
        Text{"not compared", {one_line(scheme.scheme) + ": " + one_line(scheme.reason)}, Emphasis::warning});
  }
  for (const StoredOutputs& stored : result.stored) first.blocks.push_back(stored_text(stored));
  for (const Warning& warning : result.warnings) {
    first.blocks.push_back(Text{"note", {one_line(warning.text)}, Emphasis::warning});
  }
  document.sections.push_back(std::move(first));
  if (result.stale) document.sections.push_back(stale_section(*result.stale));
  document.sections.push_back(equality_section(result.equivalence, {}, "", false));
  return document;
}

}  // namespace kvcast::report
