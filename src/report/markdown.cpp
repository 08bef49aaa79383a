// A report as Markdown, for a pull request.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "report/conclusion.h"
#include "report/format.h"
#include "report/layout.h"

namespace kvcast::report {
namespace {

std::string bullet(const std::string& text) { return "- " + text + "\n"; }

std::string shape_text(const CaseShape& shape) {
  std::string text = "L=" + integer(shape.history_length) + ", d=" + integer(shape.dim) +
                     ", heads=" + integer(shape.heads) + ", KV heads=" + integer(shape.kv_heads) +
                     ", layers=" + integer(shape.layers) + ", " + one_line_or_dash(shape.dtype) + ", KV " +
                     one_line_or_dash(shape.kv_dtype) + ", " + counted(shape.threads, "thread");
  if (shape.head_width > 0) text += ", head " + integer(shape.head_layers) + "x" + integer(shape.head_width);
  return text;
}

std::string points(const Case& one) {
  Grid grid({{"", "N", true},
             {"", "scheme", false},
             {"", "time per request", true},
             {"", "candidates/s", true},
             {"", "speed-up", true},
             {"", "95% interval", false},
             {"", "improvement", true},
             {"", "how", false}});
  for (const Point& point : one.points) {
    for (const SchemePoint& row : point.schemes) {
      const int decimals = row.speedup ? estimate_decimals(*row.speedup, 3) : 0;
      grid.add({integer(point.candidates), one_line(row.scheme), row.seconds ? seconds(row.seconds->median) : "-",
                significant(row.candidates_per_s, 4), row.speedup ? factor(row.speedup->value, decimals) : "-",
                row.speedup ? interval(*row.speedup, decimals) : "-", share(row.improvement, 2),
                row.reason ? "skipped: " + one_line(*row.reason) : to_string(row.status)});
    }
  }
  return grid.empty() ? "" : "\n" + grid.markdown();
}

std::string fit_text(const Fit& fit) {
  std::string text = "**" + one_line(fit.scheme) + "**: " + one_line_or_dash(fit.verdict);
  if (fit.r) {
    const int decimals = estimate_decimals(*fit.r, 3);
    text += "; r = " + fixed(fit.r->value, decimals);
    if (fit.r->ci95) text += " " + interval(*fit.r, decimals);
  }
  if (fit.asymptote) text += "; ceiling " + ceiling(fit);
  for (const std::string& loss : fit.slowdowns) text += "; " + one_line(loss);
  return bullet(text);
}

std::string drops(const std::vector<Degradation>& rows) {
  Grid grid({{"", "L", true},
             {"", "N", true},
             {"", "scheme", false},
             {"", "throughput drop", true},
             {"", "95% interval", false},
             {"", "seed's rule", true},
             {"", "exact", true}});
  for (const Degradation& row : rows) {
    grid.add({row.history_length ? integer(*row.history_length) : "-", integer(row.candidates), one_line(row.scheme),
              share(row.drop.value, 1),
              row.drop.ci95 ? share(row.drop.ci95->lo, 1) + " to " + share(row.drop.ci95->hi, 1) : "-",
              share(row.drop_design_note, 1), share(row.drop_exact, 1)});
  }
  return grid.empty() ? "" : "\n### Throughput drop of the ranker, measured\n\n" + grid.markdown();
}

std::string case_text(const Case& one) {
  std::string text = "\n### " + (one.shape ? shape_text(*one.shape) : std::string("timings without a shape")) + "\n\n";
  if (one.machine) text += bullet("measured on " + machine_text(*one.machine));
  for (const Fit& fit : one.fits) text += fit_text(fit);
  if (one.equivalence) {
    text += bullet(std::string("outputs ") + (one.equivalence->agrees ? "agree" : "DISAGREE") + ": " +
                   counted(one.equivalence->checked_candidates, "candidate") + " checked, " +
                   (one.equivalence->judged_candidates
                        ? integer(*one.equivalence->judged_candidates) + " of them by float64 at "
                        : "float64 at ") +
                   one_line_or_dash(one.equivalence->reference_shape) +
                   (one.after_timing.empty() ? "" : "; " + judged_after_timing(one.after_timing)));
  }
  for (const CompositionCheck& check : one.composition) {
    if (!check.agrees) {
      text += bullet("whole runs of " + one_line(check.scheme) + " at N=" + integer(check.candidates) + " DISAGREE");
    }
  }
  return text + points(one);
}

}  // namespace

std::string render_markdown(const Report& report) {
  std::string text = "## kvcast\n\n";
  const std::string sentence = conclusion(report);
  if (!sentence.empty()) text += "**" + sentence + "**\n\n";
  for (const Warning& warning : report.warnings) {
    text += "> **" + one_line_or_dash(warning.code) + "**: " + one_line(warning.text) +
            (warning.advice.empty() ? "" : " — " + one_line(warning.advice)) + "\n>\n";
  }
  if (!report.warnings.empty()) text += "\n";
  if (report.machine) text += bullet(machine_text(*report.machine));
  if (report.conditions) text += bullet(conditions_text(*report.conditions));
  text += bullet("kvcast " + one_line_or_dash(report.tool.version) + ", commit " +
                 one_line_or_dash(report.tool.git_commit));
  for (const Case& one : report.cases) text += case_text(one);
  text += drops(report.degradation);
  text = inert(text);
  if (report.sizing) text += "\n" + render_sizing_markdown(report);
  if (report.traffic) text += "\n" + render_traffic_markdown(report);
  return text;
}

}  // namespace kvcast::report
