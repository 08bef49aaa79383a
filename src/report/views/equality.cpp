#include "report/views/equality.h"

#include <fmt/format.h>

#include <cmath>

#include "base/text.h"
#include "report/conclusion.h"
#include "report/layout.h"
#include "report/views/cells.h"

namespace kvcast::report {
namespace {

Cell part(const std::optional<ErrorPair>& errors, double ErrorPair::*member) {
  return errors ? error_cell(std::optional((*errors).*member)) : Cell{"-"};
}

Cell verdict(bool agrees) { return agrees ? Cell{"agrees", true} : Cell{"DISAGREES", false, {}, Emphasis::bad}; }

/// The check in fp32 of a run whose types could hide what it finds.
Text in_fp32(const Equivalence& e) {
  double worst = 0;
  bool agrees = true;
  for (const SchemeEquivalence& s : e.schemes) {
    if (!s.vs_reference_fp32) continue;
    const double error = s.vs_reference_fp32->max_abs;
    // A NaN is the worst of all.
    if (!std::isnan(worst) && !(error <= worst)) worst = error;
    agrees = agrees && error <= *e.tolerance_fp32;
  }
  return {"in fp32",
          {fmt::format("{}: off float64 by {} at most, allowed {}", agrees ? "agrees" : "DISAGREES",
                       error_cell(worst).text, error_cell(e.tolerance_fp32).text)},
          agrees ? Emphasis::none : Emphasis::bad};
}

}  // namespace

Cell error_cell(const std::optional<double>& value) {
  if (!value) return {"-"};
  return std::isfinite(*value) ? Cell{fmt::format("{:.1e}", *value), *value} : Cell{"NaN", {}, {}, Emphasis::bad};
}

Section equality_section(const Equivalence& e, const std::vector<TimedOutputs>& timed, const std::string& title,
                         bool details) {
  Section section{title, details, {}};
  std::string summary =
      std::string(e.agrees ? "agrees" : "DISAGREES") + ": " + counted(e.checked_candidates, "candidate") + " checked";
  if (!e.reference_shape.empty()) {
    summary += ", " + (e.judged_candidates ? integer(*e.judged_candidates) + " of them by float64" : "float64") +
               " at " + (e.reference_shape == "full" ? "the full shape" : one_line(e.reference_shape));
  }
  section.blocks.push_back(Text{"outputs", {summary}, e.agrees ? Emphasis::none : Emphasis::bad});
  if (!e.shareable) {
    section.blocks.push_back(Text{"mask", {"sharing is NOT valid under this mask"}, Emphasis::bad});
  }
  if (e.layers) {
    section.blocks.push_back(Text{
        "layers",
        {fmt::format("at the full shape, each from its own inputs: {} of {} and {} {} float64; largest error {} of "
                     "what rounding explains ({})",
                     counted(e.layers->keys, "key"), counted(e.layers->layers, "layer"),
                     counted(e.layers->outputs, "output"), e.layers->agrees ? "agree with" : "DIFFER from",
                     significant(e.layers->error, 2), one_line_or_dash(e.layers->where))},
        e.layers->agrees ? Emphasis::none : Emphasis::bad});
  }
  if (!timed.empty()) section.blocks.push_back(Text{"timed", {judged_after_timing(timed)}});
  Table table{"",
              {{"scheme"},
               number_head("max abs", "vs float64"),
               number_head("max rel", "vs float64"),
               number_head("max abs", "vs naive"),
               number_head("max rel", "vs naive"),
               number_head("top-k", "rank: naive"),
               number_head("tau", "rank: naive"),
               number_head("top-k", "rank: float64"),
               number_head("tau", "rank: float64"),
               {""}},
              rows_of(e.schemes,
                      [](const SchemeEquivalence& s) {
                        return std::vector<Cell>{text_cell(s.scheme),
                                                 part(s.vs_reference, &ErrorPair::max_abs),
                                                 part(s.vs_reference, &ErrorPair::max_rel),
                                                 part(s.vs_naive, &ErrorPair::max_abs),
                                                 part(s.vs_naive, &ErrorPair::max_rel),
                                                 number_cell(s.top_k_overlap, 4),
                                                 number_cell(s.kendall_tau, 4),
                                                 number_cell(s.reference_top_k_overlap, 4),
                                                 number_cell(s.reference_kendall_tau, 4),
                                                 verdict(s.agrees)};
                      }),
              {}};
  table.rows.push_back({{"tolerance", {}, {}, Emphasis::faint},
                        error_cell(e.tolerance_reference),
                        {},
                        error_cell(e.tolerance_naive),
                        {},
                        {},
                        {},
                        {},
                        {},
                        {}});
  if (e.bound_reference) table.note = "naive itself may be off float64 by " + error_cell(e.bound_reference).text + ". ";
  table.note += "Ranking by readout score: overlap of the top " + integer(e.top_k) + " and Kendall's tau";
  if (e.ranked_candidates > 0) table.note += "; by float64 of " + counted(e.ranked_candidates, "candidate");
  section.blocks.push_back(std::move(table));
  if (e.tolerance_fp32) section.blocks.push_back(in_fp32(e));
  return section;
}

}  // namespace kvcast::report
