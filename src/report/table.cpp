// The report for a terminal: text with marks of emphasis, at most kWidth columns.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "report/columns.h"
#include "report/conclusion.h"
#include "report/degradation_table.h"
#include "report/format.h"
#include "report/layout.h"
#include "report/plot.h"

namespace kvcast::report {
namespace {

// ---- sections

constexpr std::size_t kMargin = 10;

/// A word of a check that failed.
std::string bad(const char* word) { return emphasised(word, Emphasis::bad); }

// More than this are summed up.
constexpr std::size_t kMaxFullCases = 4;

std::string machine_line(const MachineInfo& machine) {
  return paragraph_of_items(
      "machine",
      {one_line_or_dash(machine.cpu_model), one_line_or_dash(machine.isa), counted(machine.threads, "CPU"),
       "memory " + (machine.memory_bytes ? bytes(*machine.memory_bytes) : std::string("-")),
       "FMA peak " + with_unit(machine.peak_gflops, 4, " GFLOP/s"),
       "DRAM read " + with_unit(machine.read_gb_per_s, 3, " GB/s")},
      kMargin);
}

bool alike(const MachineInfo& a, const MachineInfo& b) {
  return a.cpu_model == b.cpu_model && a.isa == b.isa && a.threads == b.threads;
}

/// Of a report whose cases were measured on several.
std::string machine_lines(const std::vector<Case>& cases) {
  std::vector<MachineInfo> machines;
  std::string text;
  for (const auto& one : cases) {
    if (!one.machine) continue;
    const auto same = [&](const MachineInfo& other) { return alike(other, *one.machine); };
    if (std::any_of(machines.begin(), machines.end(), same)) continue;
    machines.push_back(*one.machine);
    text += machine_line(*one.machine);
  }
  return text;
}

std::string head(const Report& report) {
  const ToolInfo& tool = report.tool;
  const std::string text = paragraph("kvcast",
                                     fmt::format("{} ({}), {}, {}", one_line_or_dash(tool.version),
                                                 one_line_or_dash(prefix(one_line(tool.git_commit), 12)),
                                                 one_line_or_dash(tool.compiler), one_line_or_dash(tool.build_type)),
                                     kMargin);
  if (report.machine) return text + machine_line(*report.machine);
  // Where every case is shown, so is its machine.
  return report.cases.size() > kMaxFullCases ? text + machine_lines(report.cases) : text;
}

std::string shape_line(const CaseShape& shape) {
  std::string model = fmt::format("L={} d={} heads={} kv_heads={} layers={} ffn={}x", shape.history_length, shape.dim,
                                  shape.heads, shape.kv_heads, shape.layers, shape.ffn_factor);
  if (shape.token_merge > 1) model += fmt::format(" token_merge={}", shape.token_merge);
  if (shape.query_tokens > 0) model += fmt::format(" query_tokens={}", shape.query_tokens);
  if (shape.candidate_from_layer > 0) model += fmt::format(" candidate_from_layer={}", shape.candidate_from_layer);
  if (shape.head_width > 0) model += fmt::format(" head={}x{}", shape.head_layers, shape.head_width);
  return paragraph_of_items("shape",
                            {model, one_line_or_dash(shape.dtype) + ", KV " + one_line_or_dash(shape.kv_dtype),
                             counted(shape.threads, "thread"), "mask " + one_line_or_dash(shape.mask),
                             std::string("trim ") + (shape.trim ? "on" : "off")},
                            kMargin);
}

const char* mark(Status status) {
  switch (status) {
    case Status::measured:
      return "";
    case Status::assembled:
      return "c";
    case Status::extrapolated:
      return "s";
    case Status::skipped:
      return "-";
  }
  return "?";
}

const SchemePoint* find(const Point& point, const std::string& scheme) {
  const auto at = std::find_if(point.schemes.begin(), point.schemes.end(),
                               [&](const SchemePoint& candidate) { return candidate.scheme == scheme; });
  return at == point.schemes.end() ? nullptr : &*at;
}

std::string point_grid(const Case& one) {
  Grid grid({{"", "N", true},
             {"", "scheme", false},
             {"", "cand/s", true},
             {"", "req/s", true},
             {"time per", "request", true},
             {"t/min", "naive", true},
             {"t/min", "own", true},
             {"", "speed-up", true},
             {"", "95% interval", false},
             {"left-out", "predicts", true}});
  for (const auto& point : one.points) {
    const SchemePoint* naive = find(point, kBaseline);
    const std::string naive_over = naive ? significant(naive->time_over_minimum, 3) : "-";
    bool first = true;
    for (const auto& scheme : point.schemes) {
      const bool baseline = scheme.scheme == kBaseline;
      const int decimals = scheme.speedup ? estimate_decimals(*scheme.speedup, 3) : 0;
      std::string name = clipped(scheme.scheme, kSchemeWidth);
      if (*mark(scheme.status) != '\0') name += std::string(" ") + mark(scheme.status);
      grid.add({first ? integer(point.candidates) : "", name, significant(scheme.candidates_per_s, 4),
                significant(scheme.requests_per_s, 3), scheme.seconds ? seconds(scheme.seconds->median) : "-",
                baseline ? "" : (scheme.speedup ? naive_over : "-"), significant(scheme.time_over_minimum, 3),
                baseline ? "" : (scheme.speedup ? factor(scheme.speedup->value, decimals) : "-"),
                baseline ? "" : (scheme.speedup ? interval(*scheme.speedup, decimals) : "-"),
                baseline ? "" : with_unit(scheme.predicted_speedup, 3, "x")});
      first = false;
    }
  }
  return grid.text("");
}

/// Names of the case's schemes, in order of appearance.
std::vector<std::string> scheme_names(const Case& one) {
  std::vector<std::string> names;
  for (const auto& point : one.points) {
    for (const auto& scheme : point.schemes) {
      if (std::find(names.begin(), names.end(), scheme.scheme) == names.end()) names.push_back(scheme.scheme);
    }
  }
  return names;
}

/// What the grid's marks and heads mean, then what its rows leave out: forms, memory, skipped rows.
std::string point_notes(const Case& one) {
  std::vector<std::string> scaled, forms, memory;
  bool any_assembled = false, any_sharing = false;
  // (scheme, reason) in order of first appearance, with the N it holds for
  std::vector<std::pair<std::pair<std::string, std::string>, std::vector<std::string>>> skipped;
  for (const auto& name : scheme_names(one)) {
    any_sharing = any_sharing || name != kBaseline;
    std::vector<std::string> counts;
    std::vector<std::pair<std::string, std::vector<std::string>>> ways;
    std::optional<std::int64_t> least, most;
    for (const auto& point : one.points) {
      const SchemePoint* scheme = find(point, name);
      if (!scheme) continue;
      any_assembled = any_assembled || scheme->status == Status::assembled;
      if (scheme->status == Status::extrapolated) {
        counts.push_back((scheme->measured_candidates ? integer(*scheme->measured_candidates) : "-") + " of " +
                         integer(point.candidates));
      }
      if (scheme->status == Status::skipped) {
        const std::pair key(name, scheme->reason.value_or("no reason given"));
        if (skipped.empty() || skipped.back().first != key) skipped.push_back({key, {}});
        skipped.back().second.push_back(integer(point.candidates));
      }
      const std::string ran = to_string(scheme->execution) +
                              (scheme->execution != Execution::unknown && !scheme->detail.empty() ? ", " : "") +
                              scheme->detail;
      if (!ran.empty()) {
        if (ways.empty() || ways.back().first != ran) ways.push_back({ran, {}});
        ways.back().second.push_back(integer(point.candidates));
      }
      if (scheme->kv_bytes) {
        least = std::min(least.value_or(*scheme->kv_bytes), *scheme->kv_bytes);
        most = std::max(most.value_or(*scheme->kv_bytes), *scheme->kv_bytes);
      }
    }
    const std::string shown = clipped(name, kSchemeWidth);
    if (!counts.empty()) scaled.push_back(shown + " on " + join(counts, ", "));
    std::vector<std::string> parts;
    for (const auto& [ran, at] : ways) {
      parts.push_back(one_line(ran) + (ways.size() > 1 ? " at N=" + join(at, ", ") : ""));
    }
    if (!parts.empty()) forms.push_back(shown + " " + join(parts, "; "));
    if (least) memory.push_back(shown + " " + bytes(*least) + (*most != *least ? " to " + bytes(*most) : ""));
  }

  std::string text =
      paragraph("t/min", "time over the theoretical minimum of the scheme's own work here; 1 is ideal", kMargin);
  if (any_sharing) {
    text += paragraph("left-out", "speed-up at this N predicted by the fit to all the other N", kMargin);
  }
  if (any_assembled) {
    text += paragraph("c", "assembled: one prefill per round serves every N, plus the scoring pass at this N", kMargin);
  }
  if (!scaled.empty()) {
    text += paragraph("s", "scaled: fewer candidates timed, then multiplied (" + join(scaled, "; ") + ")", kMargin);
  }
  for (const auto& [key, at] : skipped) {
    text += emphasised(paragraph("-",
                                 "skipped: " + clipped(key.first, kSchemeWidth) + " at N=" + join(at, ", ") + ": " +
                                     one_line(key.second),
                                 kMargin),
                       Emphasis::warning);
  }
  if (!forms.empty()) text += paragraph_of_items("ran", forms, kMargin);
  if (!memory.empty()) text += paragraph_of_items("KV held", memory, kMargin);
  return text;
}

/// What a returning user gains over one whose history is new, and the best micro-batches.
std::string gains(const Case& one) {
  std::string text;
  for (const auto& name : scheme_names(one)) {
    std::vector<std::string> items;
    for (const auto& point : one.points) {
      const SchemePoint* scheme = find(point, name);
      if (!scheme || !scheme->gain_over_shared) continue;
      const Estimate& gain = *scheme->gain_over_shared;
      const int decimals = estimate_decimals(gain, 3);
      items.push_back(fmt::format("{} {} at N={}", factor(gain.value, decimals), interval(gain, decimals),
                                  integer(point.candidates)));
    }
    if (items.empty()) continue;
    items.front() = clipped(name, kSchemeWidth) + " over shared: " + items.front();
    text += paragraph_of_items(text.empty() ? "returning" : "", items, kMargin);
  }
  std::vector<std::string> best;
  for (const auto& b : one.micro_batches) {
    best.push_back(fmt::format("{} at N={} (slowest takes {})", integer(b.micro_batch), integer(b.candidates),
                               with_unit(b.slowest_ratio, 3, "x")));
  }
  if (!best.empty()) text += paragraph_of_items("best b_m", best, kMargin);
  return text;
}

std::string profiles(const std::vector<Profile>& list) {
  std::string text;
  for (const auto& profile : list) {
    text += emphasised(
        fmt::format("{}profile of {}, {} pass{}: {}\n", text.empty() ? "" : "\n", clipped(profile.scheme, kSchemeWidth),
                    one_line(profile.pass), profile.candidates > 0 ? ", N=" + integer(profile.candidates) : "",
                    seconds(profile.seconds)),
        Emphasis::strong);
    Grid grid({{"", "step", false}, {"", "time", true}, {"", "share", true}});
    for (const auto& step : profile.steps) {
      grid.add({one_line(step.name), seconds(step.seconds), fixed(100 * step.share, 1) + "%"});
    }
    text += grid.text("  ");
    text += paragraph("  included",
                      fmt::format("dispatch of {} regions and products: {} when they are empty",
                                  integer(profile.dispatches), seconds(profile.dispatch_seconds)),
                      kMargin + 2);
  }
  return text;
}

/// "0.00204  95% [0.00201, 0.00207]".
std::string estimate(const std::optional<Estimate>& value) {
  if (!value) return "-";
  const int decimals = estimate_decimals(*value, 3);
  return fixed(value->value, decimals) + (value->ci95 ? "  95% " + interval(*value, decimals) : "");
}

/// The two cells of a speed-up.
std::pair<std::string, std::string> speedup_cells(const Estimate& value) {
  const int decimals = estimate_decimals(value, 3);
  return {factor(value.value, decimals), interval(value, decimals)};
}

std::string titled(const std::string& title, const Grid& grid) {
  return grid.empty() ? "" : "\n" + emphasised("  " + title, Emphasis::strong) + "\n" + grid.text("  ");
}

std::string model_name(const std::string& name) { return name == "one-parameter" ? "one-par." : clipped(name, 10); }

std::string residuals(const Fit& fit) {
  std::vector<Grid::Head> heads = {{"", "N", true}, {"", "speed-up", true}, {"", "95% interval", false}};
  for (const FittedModel& model : fit.models) heads.push_back({"", model_name(model.name), true});
  for (const FittedModel& model : fit.models) heads.push_back({"left out:", model_name(model.name), true});
  Grid grid(heads);
  for (const ObservedSpeedup& one : fit.observed) {
    const auto [value, ends] = speedup_cells(one.speedup);
    std::vector<std::string> cells = {integer(one.candidates), value, ends};
    const auto add = [&](std::optional<double> ModelResidual::*member) {
      for (const FittedModel& model : fit.models) {
        const auto found = std::find_if(model.residuals.begin(), model.residuals.end(),
                                        [&](const auto& row) { return row.candidates == one.candidates; });
        cells.push_back(found == model.residuals.end() ? "-" : percent((*found).*member));
      }
    };
    add(&ModelResidual::pct);
    add(&ModelResidual::loo_pct);
    grid.add(cells);
  }
  return titled("residuals of the speed-up, by model", grid);
}

/// Of a line of a fit.
constexpr std::size_t kLabel = 15;

/// What the models say of themselves: parameters and errors.
std::string models(const Fit& fit) {
  std::vector<std::string> formulas;
  Grid grid({{"", "model", false},
             {"largest", "residual", true},
             {"left-out", "error", true},
             {"r of one", "more", true},
             {"", "95% interval", false},
             {"", "parameters", false}});
  for (const FittedModel& model : fit.models) {
    std::pair<std::string, std::string> slope = {"-", "-"};
    if (model.marginal_r) {
      const int decimals = estimate_decimals(*model.marginal_r, 3);
      slope = {fixed(model.marginal_r->value, decimals), interval(*model.marginal_r, decimals)};
    }
    std::string text;
    formulas.push_back(model_name(model.name) + " " + clipped(model.formula, 32));
    for (const FittedParameter& one : model.parameters) {
      text += (text.empty() ? "" : ", ") + clipped(one.symbol, 4) + " " +
              (one.unit == "s" ? with_unit(one.value * 1e3, 4, " ms") : significant(one.value, 3));
    }
    grid.add({clipped(model.name, 14), percent(model.max_residual_pct), percent(model.loo_error_pct), slope.first,
              slope.second, text});
  }
  return titled("models", grid) + (grid.empty() ? "" : paragraph("  speed-up", join(formulas, "; "), kLabel));
}

/// Why some N have none: a line per reason.
std::string unknown_predictions(const std::vector<Prediction>& list) {
  std::vector<std::pair<std::string, std::vector<std::string>>> reasons;
  for (const auto& p : list) {
    if (p.reason.empty()) continue;
    auto found = std::find_if(reasons.begin(), reasons.end(), [&](const auto& r) { return r.first == p.reason; });
    if (found == reasons.end()) found = reasons.insert(reasons.end(), {p.reason, {}});
    const std::string count = integer(p.candidates);
    if (std::find(found->second.begin(), found->second.end(), count) == found->second.end())
      found->second.push_back(count);
  }
  std::string text;
  for (const auto& [reason, counts] : reasons) {
    text +=
        emphasised(paragraph("  unknown", "N=" + join(counts, ", ") + ": " + one_line(reason), 15), Emphasis::warning);
  }
  return text;
}

std::string predictions(const std::vector<Prediction>& list) {
  const bool shapes = std::any_of(list.begin(), list.end(), [](const auto& p) { return p.history_length || p.layers; });
  std::vector<Grid::Head> heads;
  if (shapes) heads = {{"", "L", true}, {"", "layers", true}};
  for (const Grid::Head& head : {Grid::Head{"", "N", true},
                                 {"", "speed-up", true},
                                 {"", "95% interval", false},
                                 {"", "source", false},
                                 {"", "by", false},
                                 {"held-out", "error", true},
                                 {"", "naive", true},
                                 {"", "scheme", true}}) {
    heads.push_back(head);
  }
  Grid grid(heads);
  const auto optional_seconds = [](const std::optional<double>& value) { return value ? seconds(*value) : "-"; };
  const auto own = [](const std::optional<std::int64_t>& value) { return value ? integer(*value) : "own"; };
  for (const auto& p : list) {
    const auto [value, ends] = p.speedup ? speedup_cells(*p.speedup) : std::pair<std::string, std::string>("-", "-");
    std::vector<std::string> cells;
    if (shapes) cells = {own(p.history_length), own(p.layers)};
    for (std::string cell :
         {integer(p.candidates), value, ends, clipped(to_string(p.source), 12), model_name(p.by),
          percent(p.held_out_error_pct), optional_seconds(p.naive_seconds), optional_seconds(p.scheme_seconds)}) {
      cells.push_back(std::move(cell));
    }
    grid.add(cells);
  }
  return titled("predictions", grid) + unknown_predictions(list);
}

std::string explanation(const Fit& fit) {
  if (!fit.explanation) return "";
  Grid grid({{"", "N", true},
             {"", "r", true},
             {"", "arithmetic", true},
             {"", "weights", true},
             {"", "KV", true},
             {"", "head", true},
             {"", "overhead", true}});
  for (const auto& share : fit.explanation->shares) {
    grid.add({integer(share.candidates), significant(share.r, 3), significant(share.arithmetic, 3),
              significant(share.weights, 3), significant(share.kv, 3), significant(share.head, 3),
              significant(share.overhead, 3)});
  }
  return titled(fmt::format("why r: design note {}, measured {}, FLOPs {}; parts of the r of each N, by {}",
                            significant(fit.explanation->r_design_note, 3),
                            fit.r ? significant(fit.r->value, 3) : std::string("-"), significant(fit.r_flops, 3),
                            clipped(fit.explanation->basis, 12)),
                grid);
}

std::string fit_block(const Fit& fit) {
  const auto row = [&](const char* label, const std::string& value, const std::string& meaning) {
    return paragraph(label, padded(value, 31, false) + "  " + meaning, kLabel);
  };
  std::string text =
      emphasised(fmt::format("fit of {} against naive: {}, {} excluded\n", clipped(fit.scheme, kSchemeWidth),
                             counted(fit.rounds, "round"), counted(fit.excluded_pairs, "pair")),
                 Emphasis::strong);
  if (!fit.verdict.empty()) text += paragraph("  verdict", one_line(fit.verdict), kLabel);
  if (!fit.next.empty()) text += paragraph("  next", one_line(fit.next), kLabel);
  for (std::size_t i = 0; i < fit.slowdowns.size(); ++i) {
    text += paragraph(i == 0 ? "  loses" : "", one_line(fit.slowdowns[i]), kLabel);
  }
  text += row("  r", estimate(fit.r), "cost of one more candidate over one naive candidate");
  text += row("  r by FLOPs", significant(fit.r_flops, 3), "the same by arithmetic alone");
  text += row("  rho", significant(fit.rho, 3), "scoring pass over prefill, C_f/C_u");
  text += row("  ceiling", ceiling(fit), "limit of the speed-up by the model in use");
  text += row("  R^2", fit.r_squared ? fixed(*fit.r_squared, 4) : "-",
              "near 1 for any rising curve: judge by the residuals");
  text += row("  lack of fit", percent(fit.lack_of_fit_pct), "of the one-parameter law, beyond the noise");
  text += paragraph("  preferred", one_line_or_dash(fit.preferred), kLabel);
  return text + models(fit) + residuals(fit) + predictions(fit.predictions) + explanation(fit);
}

std::string self_check(const std::vector<SelfCheck>& list) {
  if (list.empty()) return "";
  Grid grid({{"", "scheme", false},
             {"", "N", true},
             {"", "ratio", true},
             {"", "95% interval", false},
             {"", "of all rows together", false},
             {"", "", false}});
  for (const auto& check : list) {
    const int decimals = std::max(3, estimate_decimals(check.ratio, 3));
    grid.add({clipped(check.scheme, kSchemeWidth), check.candidates ? integer(*check.candidates) : "all",
              fixed(check.ratio.value, decimals), interval(check.ratio, decimals),
              interval({check.ratio.value, check.simultaneous}, decimals),
              check.contains_one ? "holds 1" : bad("DOES NOT HOLD 1")});
  }
  return emphasised("self-check: every scheme timed under two names; the ratio of the two times is 1\n",
                    Emphasis::strong) +
         grid.text("  ");
}

std::string surface_block(const Surface& surface) {
  const auto range = [](std::int64_t least, std::int64_t most) {
    return integer(least) + (most > least ? " to " + integer(most) : "");
  };
  std::string text = paragraph(
      "surface",
      fmt::format("of naive and {}: L {}, layers {}, N {}{}", clipped(surface.scheme, kSchemeWidth),
                  range(surface.min_history, surface.max_history), range(surface.min_layers, surface.max_layers),
                  range(surface.min_candidates, surface.max_candidates),
                  surface.cache_bytes && std::isfinite(*surface.cache_bytes)
                      ? "; effective cache " + significant(*surface.cache_bytes / (1 << 20), 3) + " MiB"
                      : ""),
      kMargin);
  Grid terms(
      {{"", "pass", false}, {"", "term", false}, {"", "time per", true}, {"", "", false}, {"largest", "share", true}});
  for (const auto& term : surface.terms) {
    terms.add({clipped(term.pass, 10), clipped(term.name, 20), seconds(term.seconds_per_unit), clipped(term.unit, 6),
               fixed(100 * term.largest_share, 1) + "%"});
  }
  text += titled("time of a pass, by term", terms);
  Grid errors({{"", "left out", false},
               {"", "points", true},
               {"", "median", true},
               {"90% are", "below", true},
               {"", "largest", true}});
  for (const auto& error : surface.errors) {
    errors.add({clipped(error.left_out, 12), integer(error.points), percent(error.median_pct), percent(error.p90_pct),
                percent(error.max_pct)});
  }
  text += titled("error of the time at points that the fit did not see", errors);
  return text + predictions(surface.predictions);
}

std::string conditions(const Conditions& c) {
  std::vector<std::string> items = {
      counted(c.rounds, "round"), "stopped by " + one_line_or_dash(to_string(c.stopped_by)),
      "measured " + seconds(c.measured_s), "warm-up " + seconds(c.warm_up_s) + (c.steady ? "" : ", not steady")};
  if (c.resumed > 0) items.push_back("resumed " + counted(c.resumed, "time"));
  items.push_back("steal " + percent(c.steal_pct));
  items.push_back("other load " + percent(c.foreign_cpu_pct));
  items.push_back("canary spread " + percent(c.canary_spread_pct));
  items.push_back("drift " + percent(c.drift_pct));
  items.push_back("outliers " + percent(c.outlier_pct));
  return paragraph_of_items("run", items, kMargin);
}

// The check in fp32 of a run whose types could hide what it finds.
std::string in_fp32(const Equivalence& e) {
  if (!e.tolerance_fp32) return "";
  double worst = 0;
  bool agrees = true;
  for (const SchemeEquivalence& s : e.schemes) {
    if (!s.vs_reference_fp32) continue;
    const double error = s.vs_reference_fp32->max_abs;
    if (!std::isnan(worst) && !(error <= worst)) worst = error;
    agrees = agrees && error <= *e.tolerance_fp32;
  }
  const std::string text = std::isfinite(worst) ? fmt::format("{:.1e}", worst) : "NaN";
  return paragraph("in fp32",
                   fmt::format("{}: off float64 by {} at most, allowed {:.1e}", agrees ? "agrees" : bad("DISAGREES"),
                               text, *e.tolerance_fp32),
                   kMargin);
}

std::string equality(const Equivalence& e, const std::vector<TimedOutputs>& timed) {
  std::string summary =
      (e.agrees ? "agrees" : bad("DISAGREES")) + ": " + counted(e.checked_candidates, "candidate") + " checked";
  if (!e.reference_shape.empty()) {
    summary += ", " + (e.judged_candidates ? integer(*e.judged_candidates) + " of them by float64" : "float64") +
               " at " + (e.reference_shape == "full" ? "the full shape" : one_line(e.reference_shape));
  }
  if (e.layers) {
    summary +=
        fmt::format("; every layer at the full shape: {} of {} and {} {} float64", counted(e.layers->keys, "key"),
                    counted(e.layers->layers, "layer"), counted(e.layers->outputs, "output"),
                    e.layers->agrees ? "agree with" : bad("DIFFER") + " from");
  }
  if (!e.shareable) summary += "; sharing is " + bad("NOT") + " valid under this mask";
  const std::string text = paragraph("equality", summary, kMargin) +
                           (timed.empty() ? "" : paragraph("", judged_after_timing(timed), kMargin));
  Grid grid({{"", "scheme", false},
             {"vs float64", "max abs", true},
             {"", "max rel", true},
             {"vs naive", "max abs", true},
             {"", "max rel", true},
             {"vs naive", "top-k", true},
             {"", "tau", true},
             {"vs f64", "top-k", true},
             {"", "tau", true},
             {"", "", false}});
  const auto error = [](double value) { return std::isfinite(value) ? fmt::format("{:.1e}", value) : "NaN"; };
  const auto rank = [](const std::optional<double>& value) { return value ? fixed(*value, 3) : std::string("-"); };
  const auto part = [&](const std::optional<ErrorPair>& errors, double ErrorPair::*member) {
    return errors ? error(*errors.*member) : std::string("-");
  };
  for (const auto& s : e.schemes) {
    grid.add({clipped(s.scheme, kSchemeWidth), part(s.vs_reference, &ErrorPair::max_abs),
              part(s.vs_reference, &ErrorPair::max_rel), part(s.vs_naive, &ErrorPair::max_abs),
              part(s.vs_naive, &ErrorPair::max_rel), rank(s.top_k_overlap), rank(s.kendall_tau),
              rank(s.reference_top_k_overlap), rank(s.reference_kendall_tau), s.agrees ? "agrees" : bad("DISAGREES")});
  }
  grid.add({"tolerance", e.tolerance_reference ? error(*e.tolerance_reference) : "-", "",
            e.tolerance_naive ? error(*e.tolerance_naive) : "-", "", "k=" + integer(e.top_k), "",
            e.ranked_candidates > 0 ? "of " + integer(e.ranked_candidates) : "", "", ""});
  return text + grid.text("  ") + in_fp32(e);
}

std::string composition(const Case& one) {
  // What the parts of a scheme are: a few candidates multiplied up, or a prefill and a scoring pass.
  const auto scaled = [&](const std::string& name) {
    return std::any_of(one.points.begin(), one.points.end(), [&](const Point& point) {
      const SchemePoint* scheme = find(point, name);
      return scheme != nullptr && scheme->status == Status::extrapolated;
    });
  };
  std::string text;
  for (const auto& check : one.composition) {
    const int decimals = std::max(3, estimate_decimals(check.ratio, 3));
    text += paragraph(text.empty() ? "whole run" : "",
                      fmt::format("{} at N={} {}: whole/{} {}  95% {}", clipped(check.scheme, kSchemeWidth),
                                  integer(check.candidates), check.agrees ? "agrees" : bad("DISAGREES"),
                                  scaled(check.scheme) ? "extrapolated" : "assembled",
                                  fixed(check.ratio.value, decimals), interval(check.ratio, decimals)),
                      kMargin);
  }
  return text;
}

std::string warnings(const std::vector<Warning>& list) {
  std::string text;
  for (const auto& warning : list) {
    text += emphasised(paragraph("warning", one_line(warning.text) + " [" + one_line(warning.code) + "]", kMargin),
                       Emphasis::warning);
    if (!warning.advice.empty()) text += paragraph("", "-> " + one_line(warning.advice), kMargin);
  }
  return text;
}

std::string case_block(const Report& report, const Case& one) {
  std::string text;
  const auto section = [&](const std::string& body) {
    if (!body.empty()) text += "\n" + body;
  };
  if (one.machine && !(report.machine && alike(*report.machine, *one.machine))) text += machine_line(*one.machine);
  if (one.shape) text += shape_line(*one.shape);
  if (!one.points.empty()) {
    section(point_grid(one));
    text += "\n" + point_notes(one) + resident_line(one.memory);
  }
  section(gains(one));
  if (const Fit* fit = main_fit(one)) section(speedup_plot(one, *fit));
  for (const auto& fit : one.fits) section(fit_block(fit));
  section(degradation_block(report.degradation, one));
  section(profiles(one.profiles));
  if (one.equivalence) section(equality(*one.equivalence, one.after_timing));
  section(composition(one));
  section(self_check(one.self_check));
  return text;
}

/// A row per case and fitted scheme, for grids that are too large to show whole.
std::string grid_summary(const std::vector<Case>& cases) {
  Grid grid({{"", "L", true},
             {"", "layers", true},
             {"", "scheme", false},
             {"", "r", true},
             {"", "95% interval", false},
             {"", "largest N", true},
             {"", "speed-up", true},
             {"", "95% interval", false},
             {"preferred", "form", false}});
  std::size_t disagreeing = 0;
  for (const auto& one : cases) {
    if (one.equivalence && !one.equivalence->agrees) ++disagreeing;
    const std::string length = one.shape ? integer(one.shape->history_length) : "-";
    const std::string layers = one.shape ? integer(one.shape->layers) : "-";
    if (one.fits.empty()) grid.add({length, layers, "-", "-", "-", "-", "-", "-", "-"});
    for (const auto& fit : one.fits) {
      std::pair<std::string, std::string> r = {"-", "-"}, gain = r;
      if (fit.r) {
        const int decimals = estimate_decimals(*fit.r, 3);
        r = {fixed(fit.r->value, decimals), interval(*fit.r, decimals)};
      }
      std::string most = "-";
      for (const auto& point : one.points) {
        const SchemePoint* scheme = find(point, fit.scheme);
        if (scheme == nullptr || !scheme->speedup) continue;
        gain = speedup_cells(*scheme->speedup);
        most = integer(point.candidates);
      }
      grid.add({length, layers, clipped(fit.scheme, kSchemeWidth), r.first, r.second, most, gain.first, gain.second,
                model_name(fit.preferred)});
    }
  }
  std::string text = grid.text("") + "\n";
  text +=
      paragraph("equality",
                disagreeing == 0 ? "agrees in every shape where it was checked"
                                 : bad("DISAGREES") + " in " + counted(static_cast<std::int64_t>(disagreeing), "shape"),
                kMargin);
  return text + paragraph("the rest",
                          counted(static_cast<std::int64_t>(cases.size()), "shape") +
                              ", summed up: every N is in --format csv, fits with their residuals in --format json",
                          kMargin);
}

}  // namespace

std::string render_table(const Report& report) {
  const std::string sentence = conclusion(report);
  std::string text = (sentence.empty() ? "" : emphasised(paragraph("", sentence, 0), Emphasis::strong) + "\n") +
                     emphasised(head(report), Emphasis::faint);
  const auto section = [&](const std::string& body) {
    if (!body.empty()) text += "\n" + body;
  };
  if (report.shard) {
    text += paragraph("part", fmt::format("{} of {} of a grid", report.shard->index, report.shard->count), kMargin);
  }
  if (report.conditions) text += emphasised(conditions(*report.conditions), Emphasis::faint);
  if (report.cases.size() > kMaxFullCases) {
    section(grid_summary(report.cases));
    section(degradation_summary(report.degradation));
  } else {
    for (const auto& one : report.cases) {
      if (report.cases.size() > 1) text += "\n" + std::string(kWidth, '=') + "\n";
      text += case_block(report, one);
    }
  }
  for (const auto& surface : report.surfaces) section(surface_block(surface));
  section(warnings(report.warnings));
  if (report.traffic) section(render_traffic_table(report));
  return text;
}

}  // namespace kvcast::report
