#include "report/views/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "kvcast/cost_model.h"
#include "kvcast/kvcast.h"
#include "kvcast/words.h"
#include "report/conclusion.h"
#include "report/layout.h"
#include "report/views/cells.h"
#include "report/views/equality.h"
#include "report/views/sizing.h"
#include "report/views/traffic.h"

namespace kvcast::report {
namespace {

// More cases than this are summed up.
constexpr std::size_t kMaxFullCases = 4;
// Rows of the first table, so that it stays on the first screen.
constexpr std::size_t kFirstRows = 8;

// ---- finding

const SchemePoint* find(const Point& point, const std::string& scheme) {
  const auto at = std::find_if(point.schemes.begin(), point.schemes.end(),
                               [&](const SchemePoint& candidate) { return candidate.scheme == scheme; });
  return at == point.schemes.end() ? nullptr : &*at;
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

std::vector<std::string> sharing_names(const Case& one) {
  std::vector<std::string> names = scheme_names(one);
  std::erase(names, kBaseline);
  return names;
}

std::optional<double> median_of(const SchemePoint* row) {
  return row != nullptr && row->seconds ? std::optional(row->seconds->median) : std::nullopt;
}

/// "2 workers of 1 thread"; of one worker its threads.
std::string layout(const CaseShape& shape) {
  const std::string each = counted(shape.threads, "thread");
  return shape.workers > 1 ? counted(shape.workers, "worker") + " of " + each : each;
}
bool several_layouts(const std::vector<Case>& cases) {
  return std::any_of(cases.begin(), cases.end(), [&](const Case& one) {
    const std::optional<CaseShape>& first = cases.front().shape;
    return one.shape && first && (one.shape->workers != first->workers || one.shape->threads != first->threads);
  });
}

/// "L=128, layers=4"; empty where nothing is known.
std::string place(const Case& one) {
  if (!one.shape) return "";
  const std::string text = "L=" + integer(one.shape->history_length) + ", layers=" + integer(one.shape->layers);
  return one.shape->workers > 1 ? text + ", " + layout(*one.shape) : text;
}

/// Texts with the N that they hold for, neighbours that are alike together.
class ByCandidates {
 public:
  void add(const std::string& text, std::int64_t candidates) {
    if (all_.empty() || all_.back().first != text) all_.push_back({text, {}});
    all_.back().second.push_back(integer(candidates));
  }
  const std::vector<std::pair<std::string, std::vector<std::string>>>& all() const { return all_; }

 private:
  std::vector<std::pair<std::string, std::vector<std::string>>> all_;
};

// ---- what was measured, and where

bool alike(const MachineInfo& a, const MachineInfo& b) {
  return a.cpu_model == b.cpu_model && a.isa == b.isa && a.threads == b.threads;
}

Text machine_line(const MachineInfo& machine) {
  return {"machine",
          {one_line_or_dash(machine.cpu_model), one_line_or_dash(machine.isa), counted(machine.threads, "CPU"),
           "memory " + (machine.memory_bytes ? bytes(*machine.memory_bytes) : std::string("-")),
           "FMA peak " + with_unit(machine.peak_gflops, 4, " GFLOP/s"),
           "DRAM read " + with_unit(machine.read_gb_per_s, 3, " GB/s")}};
}

Text brief_shape(const CaseShape& shape) {
  return {"shape",
          {"L=" + integer(shape.history_length) + " d=" + integer(shape.dim) + " layers=" + integer(shape.layers),
           one_line_or_dash(shape.dtype) +
               (shape.kv_dtype != shape.dtype ? ", KV " + one_line_or_dash(shape.kv_dtype) : ""),
           layout(shape), "mask " + one_line_or_dash(shape.mask)},
          Emphasis::faint};
}

Text shape_line(const CaseShape& shape) {
  std::string model = fmt::format("L={} d={} heads={} kv_heads={} layers={} ffn={}x", shape.history_length, shape.dim,
                                  shape.heads, shape.kv_heads, shape.layers, shape.ffn_factor);
  if (shape.token_merge > 1) model += fmt::format(" token_merge={}", shape.token_merge);
  if (shape.query_tokens > 0) model += fmt::format(" query_tokens={}", shape.query_tokens);
  if (shape.candidate_from_layer > 0) model += fmt::format(" candidate_from_layer={}", shape.candidate_from_layer);
  if (shape.head_width > 0) model += fmt::format(" head={}x{}", shape.head_layers, shape.head_width);
  Text text{"shape",
            {std::move(model), one_line_or_dash(shape.dtype), layout(shape), "mask " + one_line_or_dash(shape.mask)},
            Emphasis::faint};
  if (shape.kv_dtype != shape.dtype) text.items[1] += ", KV " + one_line_or_dash(shape.kv_dtype);
  if (!shape.trim) text.items.push_back("trim off");
  return text;
}

Text conditions_line(const Report& report) {
  const Conditions& c = *report.conditions;
  Text text{"run", {counted(c.rounds, "round"), stopped_text(c, report.config ? &*report.config : nullptr)}};
  text.items.push_back("measured " + seconds(c.measured_s));
  text.items.push_back("warm-up " + seconds(c.warm_up_s) + (c.steady ? "" : ", not steady"));
  if (c.resumed > 0) text.items.push_back("resumed " + counted(c.resumed, "time"));
  text.items.push_back("steal " + percent(c.steal_pct));
  text.items.push_back("other load " + percent(c.foreign_cpu_pct));
  text.items.push_back("canary spread " + percent(c.canary_spread_pct));
  text.items.push_back("drift " + percent(c.drift_pct));
  text.items.push_back("outliers " + percent(c.outlier_pct));
  return text;
}

Section setup(const Report& report) {
  const ToolInfo& tool = report.tool;
  Section section{"setup", true, {}};
  section.blocks.push_back(Text{
      "kvcast",
      {fmt::format("{} ({})", one_line_or_dash(tool.version), one_line_or_dash(prefix(one_line(tool.git_commit), 12))),
       one_line_or_dash(tool.compiler), one_line_or_dash(tool.build_type)}});
  if (report.machine) section.blocks.push_back(machine_line(*report.machine));
  std::vector<MachineInfo> machines;
  for (const Case& one : report.machine ? std::vector<Case>() : report.cases) {
    const auto same = [&](const MachineInfo& other) { return alike(other, *one.machine); };
    if (!one.machine || std::any_of(machines.begin(), machines.end(), same)) continue;
    machines.push_back(*one.machine);
    section.blocks.push_back(machine_line(*one.machine));
  }
  if (report.shard) {
    section.blocks.push_back(
        Text{"part", {integer(report.shard->index) + " of " + integer(report.shard->count) + " of a grid"}});
  }
  if (report.conditions) section.blocks.push_back(conditions_line(report));
  return section;
}

// ---- the first table

std::vector<Cell> speedup_cells(const SchemePoint* row, bool usable) {
  const std::optional<Estimate> speedup = row != nullptr && usable ? row->speedup : std::nullopt;
  return {factor_cell(speedup), interval_cell(speedup)};
}

/// N, a scheme where there are several, both times and the speed-up.
std::vector<Cell> point_cells(const Point& point, const std::string& scheme, bool named) {
  const SchemePoint* row = find(point, scheme);
  std::vector<Cell> cells = {count_cell(point.candidates)};
  if (named) cells.push_back(text_cell(scheme));
  cells.push_back(seconds_cell(median_of(find(point, kBaseline))));
  cells.push_back(seconds_cell(median_of(row)));
  cells.push_back(number_cell(row != nullptr ? row->candidates_per_s : std::nullopt, 4, "1/s"));
  for (Cell& cell : speedup_cells(row, true)) cells.push_back(std::move(cell));
  return cells;
}

/// Of one case: a row per N; where that is too long, N from the first to the last, and other schemes at the last.
Table first_table(const Case& one) {
  const std::vector<std::string> schemes = sharing_names(one);
  if (schemes.empty()) {
    Table table{"", {number_head("N"), number_head("naive"), number_head("candidates/s")}, {}};
    for (const Point& point : one.points) {
      const SchemePoint* naive = find(point, kBaseline);
      table.rows.push_back({count_cell(point.candidates), seconds_cell(median_of(naive)),
                            number_cell(naive != nullptr ? naive->candidates_per_s : std::nullopt, 4, "1/s")});
    }
    return table;
  }
  const bool named = schemes.size() > 1;
  const Fit* fit = main_fit(one);
  const std::string main = fit != nullptr ? fit->scheme : schemes.front();
  const auto timed = [](const Point& point, const std::string& scheme) {
    const SchemePoint* row = find(point, scheme);
    return row != nullptr && row->status != Status::skipped;
  };
  // (point, scheme), first all of them.
  std::vector<std::pair<const Point*, std::string>> rows;
  for (const Point& point : one.points) {
    for (const std::string& scheme : schemes) {
      if (find(point, scheme) != nullptr) rows.emplace_back(&point, scheme);
    }
  }
  const std::size_t all = rows.size();
  const auto last = [&](const std::string& scheme) {
    const auto found =
        std::find_if(one.points.rbegin(), one.points.rend(), [&](const Point& point) { return timed(point, scheme); });
    return found == one.points.rend() ? nullptr : &*found;
  };
  if (rows.size() > kFirstRows && named) {
    std::erase_if(rows, [&](const auto& row) { return row.second != main && row.first != last(row.second); });
  }
  for (std::size_t over = rows.size(); over > kFirstRows; --over) {
    // The N in the middle of the narrowest gap.
    std::size_t best = 0;
    double narrowest = 0;
    for (std::size_t i = 1; i + 1 < rows.size(); ++i) {
      if (rows[i].second != main || rows[i].first == last(main)) continue;
      const auto low = static_cast<double>(rows[i - 1].first->candidates);
      const double gap = static_cast<double>(rows[i + 1].first->candidates) / low;
      if (best == 0 || gap < narrowest) best = i, narrowest = gap;
    }
    if (best == 0) break;
    rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(best));
  }
  Table table{"", {number_head("N")}, {}};
  if (named) table.heads.push_back({"scheme"});
  table.heads.push_back(number_head("naive"));
  table.heads.push_back(number_head(named ? "time" : main));
  for (const char* name : {"candidates/s", "speed-up"}) table.heads.push_back(number_head(name));
  table.heads.push_back({"95% interval"});
  for (const auto& [point, scheme] : rows) table.rows.push_back(point_cells(*point, scheme, named));
  if (rows.size() < all) {
    table.note = integer(static_cast<std::int64_t>(rows.size())) + " of " +
                 counted(static_cast<std::int64_t>(all), "row") + "; summary.csv has all";
  }
  return table;
}

/// What workers cost each other, at the largest N that has it.
Text contention_line(const Case& one) {
  Text text{"contention", {}};
  for (const std::string& name : scheme_names(one)) {
    const auto last = std::find_if(one.points.rbegin(), one.points.rend(), [&](const Point& point) {
      const SchemePoint* row = find(point, name);
      return row != nullptr && row->contention.has_value();
    });
    if (last == one.points.rend()) continue;
    const std::optional<Estimate>& found = find(*last, name)->contention;
    text.items.push_back(one_line(name) + " " + factor_cell(found).text + " " + interval_cell(found).text +
                         " at N=" + integer(last->candidates));
  }
  return text;
}

/// Of a grid: a row per shape and scheme, at its largest N.
Table grid_table(const std::vector<Case>& cases, bool usable) {
  Table table{"", {number_head("L"), number_head("layers")}, {}};
  const bool layouts = several_layouts(cases);
  if (layouts) table.heads.push_back({"workers x threads"});
  table.heads.push_back({"scheme"});
  for (const char* name : {"N", "naive", "time"}) table.heads.push_back(number_head(name));
  if (layouts) table.heads.push_back(number_head("candidates/s"));
  if (usable) {
    table.heads.push_back(number_head("speed-up"));
    table.heads.push_back({"95% interval"});
  }
  for (const Case& one : cases) {
    const auto size = [&](std::int64_t CaseShape::*member) {
      return one.shape ? count_cell(std::invoke(member, *one.shape)) : text_cell("");
    };
    for (const std::string& scheme : sharing_names(one)) {
      const auto last = std::find_if(one.points.rbegin(), one.points.rend(), [&](const Point& point) {
        const SchemePoint* row = find(point, scheme);
        return row != nullptr && row->status != Status::skipped;
      });
      std::vector<Cell> cells = {size(&CaseShape::history_length), size(&CaseShape::layers)};
      if (layouts) {
        cells.push_back(text_cell(one.shape ? integer(one.shape->workers) + "x" + integer(one.shape->threads) : ""));
      }
      cells.push_back(text_cell(scheme));
      const bool any = last != one.points.rend();
      cells.push_back(any ? count_cell(last->candidates) : text_cell(""));
      cells.push_back(seconds_cell(any ? median_of(find(*last, kBaseline)) : std::nullopt));
      cells.push_back(seconds_cell(any ? median_of(find(*last, scheme)) : std::nullopt));
      if (layouts) {
        cells.push_back(number_cell(any ? find(*last, scheme)->candidates_per_s : std::nullopt, 4, "1/s"));
      }
      for (Cell& cell : usable ? speedup_cells(any ? find(*last, scheme) : nullptr, true) : std::vector<Cell>()) {
        cells.push_back(std::move(cell));
      }
      table.rows.push_back(std::move(cells));
    }
  }
  return table;
}

/// Measured speed-ups and the model in use between them.
Chart speedup_chart(const Case& one, const Fit& fit) {
  Chart chart{"speed-up over naive", "N", "speed-up"};
  Chart::Series measured{one_line(fit.scheme), {}, true}, model{one_line(fit.preferred), {}, false};
  for (const Point& point : one.points) {
    const SchemePoint* row = find(point, fit.scheme);
    if (row == nullptr || !row->speedup || !(row->speedup->value > 0)) continue;
    measured.points.emplace_back(static_cast<double>(point.candidates), row->speedup->value);
  }
  if (const FittedModel* used = fit.in_use(); used != nullptr && measured.points.size() > 1) {
    constexpr int kSteps = 64;
    const double first = measured.points.front().first, last = measured.points.back().first;
    for (int i = 0; i <= kSteps && first > 0; ++i) {
      const double n = first * std::pow(last / first, static_cast<double>(i) / kSteps);
      model.points.emplace_back(n, modelled_speedup(*used, n));
    }
  }
  chart.series.push_back(std::move(measured));
  if (!model.points.empty()) chart.series.push_back(std::move(model));
  return chart;
}

/// How times came about that were not simply measured.
Text how_timed(const Case& one) {
  Text text{"times", {}, Emphasis::faint};
  std::vector<std::string> assembled;
  for (const std::string& name : scheme_names(one)) {
    std::vector<std::string> counts;
    bool parts = false;
    for (const Point& point : one.points) {
      const SchemePoint* row = find(point, name);
      if (row == nullptr) continue;
      parts = parts || row->status == Status::assembled;
      if (row->status != Status::extrapolated) continue;
      counts.push_back((row->measured_candidates ? integer(*row->measured_candidates) : "-") + " of " +
                       integer(point.candidates));
    }
    if (!counts.empty()) text.items.push_back(one_line(name) + " extrapolated from " + join(counts, ", "));
    if (parts) assembled.push_back(one_line(name));
  }
  if (!assembled.empty()) text.items.push_back(join(assembled, ", ") + " assembled: prefill plus scoring pass");
  return text;
}

Text model_line(const Fit& fit, bool named) {
  const std::string label = "model: ";
  std::string verdict = one_line(fit.verdict);
  const bool model = verdict.starts_with(label);
  if (model) verdict.erase(0, label.size());
  Text text{model ? "model" : "fit", {(named ? one_line(fit.scheme) + ": " : "") + (verdict.empty() ? "-" : verdict)}};
  if (fit.r) {
    const std::string ends = interval_cell(fit.r).text;
    text.items.push_back("r " + estimate_cell(fit.r).text + (ends == "-" ? "" : " " + ends));
  }
  return text;
}

// ---- warnings

/// Skipped rows with their reasons.
std::vector<Notice> skipped(const Report& report) {
  std::vector<Notice> notices;
  for (const Case& one : report.cases) {
    for (const std::string& name : scheme_names(one)) {
      ByCandidates reasons;
      for (const Point& point : one.points) {
        const SchemePoint* row = find(point, name);
        if (row != nullptr && row->status == Status::skipped) {
          reasons.add(row->reason.value_or("no reason given"), point.candidates);
        }
      }
      const std::string at = report.cases.size() > 1 && one.shape ? " (" + place(one) + ")" : "";
      for (const auto& [reason, counts] : reasons.all()) {
        notices.push_back({Emphasis::warning, "skipped",
                           one_line(name) + " at N=" + join(counts, ", ") + at + ": " + one_line(reason), ""});
      }
    }
  }
  return notices;
}

bool fails(const Warning& warning) {
  static const std::set<std::string> kFailures = {kNoResult, "composition", "self-check"};
  return kFailures.contains(warning.code);
}

/// What failed, then warnings, those of one kind together; what is said for the record comes last.
std::vector<Notice> notices(const Report& report) {
  std::vector<Notice> all;
  for (const Case& one : report.cases) {
    if (!one.equivalence || one.equivalence->agrees) continue;
    const std::string at = report.cases.size() > 1 && one.shape ? " (" + place(one) + ")" : "";
    const std::string what = disagreement(*one.equivalence);
    all.push_back(
        {Emphasis::bad, "equality", "outputs DISAGREE" + at + (what.empty() ? "" : ": " + one_line(what)), ""});
  }
  for (const Warning& warning : report.warnings) {
    if (warning.code == kNoResult) continue;  // the answer says it
    all.push_back({fails(warning) ? Emphasis::bad : Emphasis::warning, warning.code, one_line(warning.text),
                   one_line(warning.advice)});
  }
  for (Notice& notice : skipped(report)) all.push_back(std::move(notice));
  std::vector<Notice> merged;
  for (Notice& notice : all) {
    const auto same = std::find_if(merged.begin(), merged.end(), [&](const Notice& other) {
      return other.code == notice.code && other.level == notice.level && !notice.code.empty();
    });
    if (same != merged.end()) {
      ++same->count;
    } else {
      merged.push_back(std::move(notice));
    }
  }
  static const std::set<std::string> kForTheRecord = {"form", "read-as", "ignored-columns", "composition-unchecked"};
  std::stable_partition(merged.begin(), merged.end(),
                        [](const Notice& notice) { return notice.level == Emphasis::bad; });
  std::stable_partition(merged.begin(), merged.end(),
                        [](const Notice& notice) { return !kForTheRecord.contains(notice.code); });
  return merged;
}

/// Every warning of a kind that is shown once.
Section all_warnings(const Report& report, const std::vector<Notice>& shown) {
  Section section{"every warning", true, {}};
  for (const Notice& kind : shown) {
    if (kind.count < 2) continue;
    for (const Warning& warning : report.warnings) {
      if (warning.code == kind.code) section.blocks.push_back(Text{warning.code, {one_line(warning.text)}, kind.level});
    }
    for (const Notice& one : kind.code == "skipped" ? skipped(report) : std::vector<Notice>()) {
      section.blocks.push_back(Text{one.code, {one.text}, kind.level});
    }
  }
  return section;
}

// ---- details of a case

Table timings(const Case& one, bool usable) {
  Table table{"",
              {number_head("N"),
               {"scheme"},
               number_head("candidates/s"),
               number_head("time per request"),
               number_head("×roofline")},
              {}};
  const bool sharing = usable && !sharing_names(one).empty();
  const bool workers = usable && one.shape && one.shape->workers > 1;
  if (workers) {
    table.heads.push_back(number_head("contention"));
    table.heads.push_back({"95% interval"});
  }
  if (sharing) {
    table.heads.push_back(number_head("speed-up"));
    table.heads.push_back({"95% interval"});
    table.heads.push_back(number_head("improvement"));
    table.heads.push_back(number_head("cross-validated"));
  }
  table.heads.push_back({"time is"});
  for (const Point& point : one.points) {
    for (const SchemePoint& row : point.schemes) {
      const bool baseline = row.scheme == kBaseline;
      std::vector<Cell> cells = {count_cell(point.candidates), text_cell(row.scheme),
                                 number_cell(row.candidates_per_s, 4, "1/s"), seconds_cell(median_of(&row)),
                                 number_cell(row.time_over_minimum, 3, "ratio")};
      if (workers) {
        cells.push_back(factor_cell(row.contention));
        cells.push_back(interval_cell(row.contention));
      }
      if (sharing) {
        for (Cell& cell : baseline ? std::vector<Cell>(4) : speedup_cells(&row, true)) cells.push_back(std::move(cell));
        if (!baseline) {
          cells.push_back(share_cell(row.improvement, 1));
          cells.push_back(row.predicted_speedup && std::isfinite(*row.predicted_speedup)
                              ? Cell{with_unit(row.predicted_speedup, 3, "x"), *row.predicted_speedup, "ratio"}
                              : text_cell(""));
        }
      }
      cells.push_back(
          text_cell(to_string(row.status), row.status == Status::skipped ? Emphasis::warning : Emphasis::none));
      table.rows.push_back(std::move(cells));
    }
  }
  table.note = "×roofline: time over the theoretical minimum of the scheme's own work on this machine, 1 is ideal";
  if (workers) table.note += "; contention: time beside the other workers over the time of one that is alone";
  if (sharing) table.note += "; cross-validated: the speed-up predicted by the fit to all the other N";
  return table;
}

/// What the rows of the timings leave out: how schemes ran, their memory, skipped rows.
std::vector<Block> timing_notes(const Case& one) {
  std::vector<Block> blocks;
  if (Text how = how_timed(one); !how.items.empty()) blocks.push_back(std::move(how));
  Text ran{"ran", {}}, memory{"KV held", {}};
  for (const std::string& name : scheme_names(one)) {
    ByCandidates ways;
    std::optional<std::int64_t> min, max;
    for (const Point& point : one.points) {
      const SchemePoint* row = find(point, name);
      if (row == nullptr) continue;
      const std::string way = to_string(row->execution) +
                              (row->execution != Execution::unknown && !row->detail.empty() ? ", " : "") + row->detail;
      if (!way.empty()) ways.add(way, point.candidates);
      if (!row->kv_bytes) continue;
      min = std::min(min.value_or(*row->kv_bytes), *row->kv_bytes);
      max = std::max(max.value_or(*row->kv_bytes), *row->kv_bytes);
    }
    std::vector<std::string> parts;
    for (const auto& [way, counts] : ways.all()) {
      parts.push_back(one_line(way) + (ways.all().size() > 1 ? " at N=" + join(counts, ", ") : ""));
    }
    const std::string shown = one_line(name);
    if (!parts.empty()) ran.items.push_back(shown + " " + join(parts, "; "));
    if (min) memory.items.push_back(shown + " " + bytes(*min) + (*max != *min ? " to " + bytes(*max) : ""));
  }
  for (Text& text : std::vector<Text>{ran, memory}) {
    if (!text.items.empty()) blocks.push_back(std::move(text));
  }
  const auto resident = [&](const char* scheme) {
    return std::find_if(one.memory.begin(), one.memory.end(),
                        [&](const ResidentMemory& row) { return row.scheme == scheme; });
  };
  const auto shared = resident("shared"), copies = resident("shared-copy");
  if (shared != one.memory.end() && copies != one.memory.end()) {
    const auto taken = [](const ResidentMemory& row) {
      return one_line(row.scheme) + " " + bytes(row.resident_bytes) + " at N=" + integer(row.candidates);
    };
    blocks.push_back(Text{"resident", {taken(*shared), taken(*copies) + " (measured)"}});
  }
  return blocks;
}

/// What a returning user gains over one whose history is new, and the best micro-batches.
Section gains(const Case& one) {
  Section section{"returning users and micro-batches", true, {}};
  Table table{"gain of a cache from an earlier request over shared",
              {{"scheme"}, number_head("N"), number_head("gain"), {"95% interval"}},
              {}};
  for (const std::string& name : scheme_names(one)) {
    for (const Point& point : one.points) {
      const SchemePoint* row = find(point, name);
      if (row == nullptr || !row->gain_over_shared) continue;
      table.rows.push_back({text_cell(name), count_cell(point.candidates), factor_cell(row->gain_over_shared),
                            interval_cell(row->gain_over_shared)});
    }
  }
  using T = BestMicroBatch;
  const auto times = [](double ratio) { return Cell{with_unit(ratio, 3, "x"), ratio, "ratio"}; };
  Table best = table_of<T>("best micro-batch of packed", one.micro_batches,
                           {numbers<T>("N", &T::candidates, kCount), numbers<T>("micro-batch", &T::micro_batch, kCount),
                            numbers<T>("the slowest takes", &T::slowest_ratio, times)});
  for (Table& each : std::vector<Table>{table, best}) {
    if (!each.rows.empty()) section.blocks.push_back(std::move(each));
  }
  return section;
}

std::string model_name(const std::string& name) { return name == "one-parameter" ? "one-par." : one_line(name); }

Table residuals(const Fit& fit) {
  Table table{"residuals of the speed-up, by model", {number_head("N"), number_head("speed-up"), {"95% interval"}}, {}};
  for (const char* group : {"fitted", "cross-validated"}) {
    for (const FittedModel& model : fit.models) table.heads.push_back(number_head(model_name(model.name), group));
  }
  table.rows = rows_of(fit.observed, [&](const ObservedSpeedup& one) {
    std::vector<Cell> cells = {count_cell(one.candidates), factor_cell(one.speedup), interval_cell(one.speedup)};
    for (const auto member : {&ModelResidual::pct, &ModelResidual::loo_pct}) {
      for (const FittedModel& model : fit.models) {
        const auto found = std::find_if(model.residuals.begin(), model.residuals.end(),
                                        [&](const auto& row) { return row.candidates == one.candidates; });
        cells.push_back(found == model.residuals.end() ? text_cell("") : percent_cell((*found).*member));
      }
    }
    return cells;
  });
  return table;
}

/// What the models say of themselves: parameters and errors.
Table models(const Fit& fit) {
  std::vector<std::string> formulas;
  for (const FittedModel& model : fit.models)
    formulas.push_back(model_name(model.name) + " " + one_line(model.formula));
  using T = FittedModel;
  const auto parameters = [](const T& model) {
    std::vector<std::string> all;
    for (const FittedParameter& one : model.parameters) {
      all.push_back(one_line(one.symbol) + " " +
                    (one.unit == "s" ? with_unit(one.value * 1e3, 4, " ms") : significant(one.value, 3)));
    }
    return text_cell(join(all, ", "));
  };
  return table_of<T>("models", fit.models,
                     {words("model", &T::name), numbers<T>("max residual", &T::max_residual_pct, kPercent),
                      numbers<T>("cross-validated error", &T::loo_error_pct, kPercent),
                      numbers<T>("r of one more", &T::marginal_r, kEstimate),
                      cells<T>("95% interval", [](const T& row) { return interval_cell(row.marginal_r); }),
                      cells<T>("parameters", parameters)},
                     "speed-up: " + join(formulas, "; "));
}

Table explanation(const Fit& fit) {
  using T = RShare;
  if (!fit.explanation) return {};
  return table_of<T>(fmt::format("why r: design note {}, measured {}, FLOPs {}; parts of the r of each N, by {}",
                                 significant(fit.explanation->r_design_note, 3), estimate_cell(fit.r).text,
                                 significant(fit.r_flops, 3), one_line(fit.explanation->basis)),
                     fit.explanation->shares,
                     {numbers<T>("N", &T::candidates, kCount), numbers<T>("r", &T::r, digits(3)),
                      numbers<T>("arithmetic", &T::arithmetic, digits(3)),
                      numbers<T>("weights", &T::weights, digits(3)), numbers<T>("KV", &T::kv, digits(3)),
                      numbers<T>("head", &T::head, digits(3)), numbers<T>("overhead", &T::overhead, digits(3))});
}

Section fit_section(const Fit& fit, const std::string& at, const Case& one) {
  Section section{"fit of " + one_line(fit.scheme) + at, true, {}};
  section.blocks.push_back(
      Text{"rounds", {counted(fit.rounds, "round"), counted(fit.excluded_pairs, "pair") + " excluded"}});
  if (!fit.verdict.empty()) section.blocks.push_back(Text{"verdict", {one_line(fit.verdict)}});
  if (!fit.next.empty()) section.blocks.push_back(Text{"next", {one_line(fit.next)}});
  for (std::size_t i = 0; i < fit.slowdowns.size(); ++i) {
    section.blocks.push_back(Text{i == 0 ? "slowdown" : "", {one_line(fit.slowdowns[i])}});
  }
  Table table{"", {{"figure"}, number_head("value"), {"95% interval"}, {"meaning"}}, {}};
  const auto row = [&](const char* name, Cell value, Cell ends, const char* meaning) {
    table.rows.push_back({{name}, std::move(value), std::move(ends), {meaning}});
  };
  row("r", estimate_cell(fit.r), interval_cell(fit.r), "cost of one more candidate over one naive candidate");
  row("r by FLOPs", number_cell(fit.r_flops, 3, "ratio"), {}, "the same by arithmetic alone");
  row("rho", number_cell(fit.rho, 3, "ratio"), {}, "scoring pass over prefill, C_f/C_u");
  row("ceiling", {ceiling(fit), fit.asymptote ? Value(*fit.asymptote) : Value(), "ratio"}, {},
      "limit of the speed-up by the model in use");
  row("R^2", fit.r_squared ? Cell{fixed(*fit.r_squared, 4), *fit.r_squared} : text_cell(""), {},
      "near 1 for any rising curve: judge by the residuals");
  row("lack of fit", percent_cell(fit.lack_of_fit_pct), {}, "of the one-parameter law, beyond the noise");
  row("model in use", text_cell(fit.preferred), {}, "");
  section.blocks.push_back(std::move(table));
  for (Table& each : std::vector<Table>{models(fit), residuals(fit), explanation(fit)}) {
    if (!each.rows.empty()) section.blocks.push_back(std::move(each));
  }
  if (&fit == main_fit(one)) section.blocks.push_back(speedup_chart(one, fit));
  return section;
}

/// Predictions, and why some N have none.
void add_predictions(Document& document, const std::string& title, const std::vector<Prediction>& list) {
  if (list.empty()) return;
  using T = Prediction;
  const auto or_own = [](const std::optional<std::int64_t>& size) { return count_cell(size, "own"); };
  std::vector<Col<T>> columns;
  if (std::any_of(list.begin(), list.end(), [](const T& p) { return p.history_length || p.layers; })) {
    columns = {numbers<T>("L", &T::history_length, or_own), numbers<T>("layers", &T::layers, or_own)};
  }
  for (Col<T>& column : std::vector<Col<T>>{
           numbers<T>("N", &T::candidates, kCount),
           cells<T>(
               "speed-up", [](const T& p) { return factor_cell(p.speedup); }, true),
           cells<T>("95% interval", [](const T& p) { return interval_cell(p.speedup); }),
           numbers<T>("naive", &T::naive_seconds, kSeconds), numbers<T>("scheme", &T::scheme_seconds, kSeconds),
           words("source", &T::source), cells<T>("by", [](const T& p) { return text_cell(model_name(p.by)); }),
           numbers<T>("error", &T::held_out_error_pct, kPercent)}) {
    columns.push_back(std::move(column));
  }
  std::vector<std::pair<std::string, std::vector<std::string>>> reasons;
  for (const T& p : list) {
    if (p.reason.empty()) continue;
    auto found = std::find_if(reasons.begin(), reasons.end(), [&](const auto& r) { return r.first == p.reason; });
    if (found == reasons.end()) found = reasons.insert(reasons.end(), {p.reason, {}});
    const std::string count = integer(p.candidates);
    if (std::find(found->second.begin(), found->second.end(), count) == found->second.end()) {
      found->second.push_back(count);
    }
  }
  Section section{title, false, {}};
  section.blocks.push_back(table_of("", list, columns));
  for (const auto& [reason, counts] : reasons) {
    section.blocks.push_back(Text{"unknown", {"N=" + join(counts, ", ") + ": " + one_line(reason)}, Emphasis::warning});
  }
  document.sections.push_back(std::move(section));
}

Section profiles(const std::vector<Profile>& list, const std::string& at) {
  Section section{"profile" + at, true, {}};
  using T = ProfileStep;
  for (const Profile& profile : list) {
    section.blocks.push_back(table_of<T>(
        one_line(profile.scheme) + ", " + one_line(profile.pass) + " pass" +
            (profile.candidates > 0 ? ", N=" + integer(profile.candidates) : "") + ": " + seconds(profile.seconds),
        profile.steps,
        {words("step", &T::name), numbers<T>("time", &T::seconds, kSeconds), numbers<T>("share", &T::share, shares(1))},
        fmt::format("included: dispatch of {} regions and products, {} when they are empty",
                    integer(profile.dispatches), seconds(profile.dispatch_seconds))));
  }
  return section;
}

Cell verdict_cell(bool good, const char* yes, const char* no) {
  return good ? Cell{yes, true} : Cell{no, false, {}, Emphasis::bad};
}

Table self_check(const std::vector<SelfCheck>& list) {
  using T = SelfCheck;
  const auto all = [](const T& row) { return interval_cell(Estimate{row.ratio.value, row.simultaneous}, 4); };
  return table_of<T>(
      "", list,
      {words("scheme", &T::scheme),
       numbers<T>("N", &T::candidates, [](const auto& count) { return count_cell(count, "all"); }),
       numbers<T>(
           "ratio", [](const T& row) { return row.ratio.value; }, digits(4)),
       cells<T>("95% interval", [](const T& row) { return interval_cell(row.ratio, 4); }),
       cells<T>("of all rows together", all),
       cells<T>("", [](const T& row) { return verdict_cell(row.contains_one, "holds 1", "DOES NOT HOLD 1"); })},
      "every scheme timed under two names; the ratio of the two times is 1");
}

Table composition(const Case& one) {
  using T = CompositionCheck;
  // A few candidates multiplied up, or a prefill and a scoring pass.
  const auto over = [&](const T& check) {
    return Cell{std::any_of(one.points.begin(), one.points.end(),
                            [&](const Point& point) {
                              const SchemePoint* row = find(point, check.scheme);
                              return row != nullptr && row->status == Status::extrapolated;
                            })
                    ? "extrapolated"
                    : "assembled"};
  };
  return table_of<T>(
      "", one.composition,
      {words("scheme", &T::scheme), numbers<T>("N", &T::candidates, kCount), cells<T>("whole run over", over),
       numbers<T>(
           "ratio", [](const T& row) { return row.ratio.value; }, digits(4)),
       cells<T>("95% interval", [](const T& row) { return interval_cell(row.ratio, 4); }),
       cells<T>("", [](const T& row) { return verdict_cell(row.agrees, "agrees", "DISAGREES"); })});
}

// ---- throughput drop of a ranker

bool of_case(const Degradation& row, const Case& one) {
  return one.shape ? row.history_length == one.shape->history_length && row.layers == one.shape->layers
                   : !row.history_length && !row.layers;
}

Table drops(const std::vector<Degradation>& rows, bool shapes) {
  using T = Degradation;
  const auto ends = [](const T& row) {
    const auto& ci95 = row.drop.ci95;
    return ci95 ? Cell{fmt::format("[{}, {}]", share(ci95->lo, 1), share(ci95->hi, 1)), *ci95, "0..1"} : text_cell("");
  };
  // Of naive there is none.
  const auto rule = [](const std::optional<double>& drop) { return drop ? share_cell(drop, 1) : Cell{}; };
  std::vector<Col<T>> columns;
  if (shapes) columns = {numbers<T>("L", &T::history_length, kCount), numbers<T>("layers", &T::layers, kCount)};
  for (Col<T>& column : std::vector<Col<T>>{
           numbers<T>("N", &T::candidates, kCount), words("scheme", &T::scheme),
           numbers<T>("alone", &T::head_s, kSeconds, "head"), numbers<T>("behind scheme", &T::with_s, kSeconds, "head"),
           numbers<T>(
               "drop", [](const T& row) { return row.drop.value; }, shares(1)),
           cells<T>("95% interval", ends), numbers<T>("design note's rule", &T::drop_design_note, rule),
           numbers<T>("exact", &T::drop_exact, rule)}) {
    columns.push_back(std::move(column));
  }
  return table_of("", rows, columns,
                  "head: the ranking head alone, and behind the scheme. Design note's rule: naive's drop over the "
                  "speed-up; exact: by throughput algebra");
}

/// Of every shape and scheme the row at its largest N.
std::vector<Degradation> largest_drops(const std::vector<Degradation>& rows) {
  std::vector<Degradation> largest;
  for (const Degradation& row : rows) {
    const bool larger = std::any_of(rows.begin(), rows.end(), [&](const Degradation& other) {
      return other.history_length == row.history_length && other.layers == row.layers && other.scheme == row.scheme &&
             other.candidates > row.candidates;
    });
    if (!larger) largest.push_back(row);
  }
  return largest;
}

/// "at N=50: naive 40.0%, shared 10.0%", of the case that stands for the report.
Text drop_line(const Report& report, const Case& one) {
  Text text{"drop", {}};
  for (const Degradation& row : largest_drops(report.degradation)) {
    if (!of_case(row, one)) continue;
    text.items.push_back((text.items.empty() ? "throughput of the ranking head behind " : "") + one_line(row.scheme) +
                         " -" + share(row.drop.value, 1) + " at N=" + integer(row.candidates));
  }
  return text;
}

// ---- surfaces

void add_surface(Document& document, const Surface& surface) {
  const auto range = [](std::int64_t min, std::int64_t max) {
    return integer(min) + (max > min ? " to " + integer(max) : "");
  };
  const std::string name = "surface of naive and " + one_line(surface.scheme);
  Section section{name, true, {}};
  Text data{"over",
            {"L " + range(surface.min_history, surface.max_history),
             "layers " + range(surface.min_layers, surface.max_layers),
             "N " + range(surface.min_candidates, surface.max_candidates)}};
  if (surface.cache_bytes && std::isfinite(*surface.cache_bytes)) {
    data.items.push_back("effective cache " + bytes(*surface.cache_bytes));
  }
  section.blocks.push_back(std::move(data));
  using T = SurfaceTerm;
  Table terms = table_of<T>(
      "time of a pass, by term", surface.terms,
      {words("pass", &T::pass), words("term", &T::name), numbers<T>("time per unit", &T::seconds_per_unit, kSeconds),
       words("unit", &T::unit), numbers<T>("max share", &T::largest_share, shares(1))});
  using E = HoldoutErrors;
  Table errors =
      table_of<E>("error of the time at points that the fit did not see", surface.errors,
                  {words("left out", &E::left_out), numbers<E>("points", &E::points, kCount),
                   numbers<E>("median", &E::median_pct, kPercent), numbers<E>("90th percentile", &E::p90_pct, kPercent),
                   numbers<E>("max", &E::max_pct, kPercent)});
  for (Table& table : std::vector<Table>{terms, errors}) {
    if (!table.rows.empty()) section.blocks.push_back(std::move(table));
  }
  document.sections.push_back(std::move(section));
  add_predictions(document, "predictions by the " + name, surface.predictions);
}

// ---- the whole

void add_case(Document& document, const Report& report, const Case& one, bool usable) {
  const bool several = report.cases.size() > 1;
  const std::string at = several && one.shape ? " at " + place(one) : "";
  Section section{"timings" + at, true, {}};
  if (one.machine && !(report.machine && alike(*report.machine, *one.machine))) {
    section.blocks.push_back(machine_line(*one.machine));
  }
  if (one.shape) section.blocks.push_back(shape_line(*one.shape));
  if (!one.points.empty()) section.blocks.push_back(timings(one, usable));
  for (Block& block : timing_notes(one)) section.blocks.push_back(std::move(block));
  add_section(document, std::move(section));
  if (usable) {
    add_section(document, gains(one));
    for (const Fit& fit : one.fits) document.sections.push_back(fit_section(fit, at, one));
    std::vector<Degradation> own;
    std::copy_if(report.degradation.begin(), report.degradation.end(), std::back_inserter(own),
                 [&](const Degradation& row) { return of_case(row, one); });
    add_table(document, "throughput drop of the ranking head" + at, true, drops(own, false));
  }
  add_section(document, profiles(one.profiles, at));
  if (one.equivalence) {
    document.sections.push_back(equality_section(*one.equivalence, one.after_timing, "equality" + at, true));
  }
  add_table(document, "whole runs" + at, true, composition(one));
  add_table(document, "self-check" + at, true, self_check(one.self_check));
}

/// Fits of a grid too large to show each: a row per shape and scheme.
Table fits_table(const std::vector<Case>& cases) {
  Table table{"",
              {number_head("L"),
               number_head("layers"),
               {"scheme"},
               number_head("r"),
               {"95% interval"},
               number_head("ceiling"),
               {"model"}},
              {}};
  for (const Case& one : cases) {
    for (const Fit& fit : one.fits) {
      table.rows.push_back({one.shape ? count_cell(one.shape->history_length) : text_cell(""),
                            one.shape ? count_cell(one.shape->layers) : text_cell(""),
                            text_cell(fit.scheme),
                            estimate_cell(fit.r),
                            interval_cell(fit.r),
                            {ceiling(fit), fit.asymptote ? Value(*fit.asymptote) : Value(), "ratio"},
                            text_cell(fit.preferred)});
    }
  }
  return table;
}

/// How much of a grid is in the files, and whether all of it computes the same.
std::vector<Block> grid_lines(const std::vector<Case>& cases) {
  std::int64_t points = 0, checked = 0, disagreeing = 0;
  for (const Case& one : cases) {
    points += static_cast<std::int64_t>(one.points.size());
    checked += one.equivalence ? 1 : 0;
    disagreeing += one.equivalence && !one.equivalence->agrees ? 1 : 0;
  }
  std::vector<Block> blocks;
  blocks.push_back(Text{"in files",
                        {counted(static_cast<std::int64_t>(cases.size()), "shape") + " with " +
                         counted(points, "point") + ": every N in summary.csv, every fit in report.json"}});
  if (checked > 0) {
    blocks.push_back(disagreeing == 0
                         ? Text{"equality", {"agrees in all " + counted(checked, "shape") + " checked"}}
                         : Text{"equality", {"DISAGREES in " + counted(disagreeing, "shape")}, Emphasis::bad});
  }
  return blocks;
}

}  // namespace

Document run_document(const Report& report) {
  const std::string none = no_result(report);
  const bool usable = none.empty();
  Document document{conclusion(report)};
  const std::vector<Notice> said = notices(report);
  const bool failed =
      std::any_of(said.begin(), said.end(), [](const Notice& one) { return one.level == Emphasis::bad; });
  document.answer_level = !usable || failed        ? Emphasis::bad
                          : !doubt(report).empty() ? Emphasis::warning
                                                   : Emphasis::strong;
  const bool several = report.cases.size() > 1;
  Section first{several ? "speed-up by shape, each at its largest N" : "speed-up by N", false, {}};
  for (const Warning& warning : report.warnings) {
    if (warning.code == kNoResult && !warning.advice.empty()) {
      first.title = "no result";
      first.blocks.push_back(Text{"what to do", {one_line(warning.advice)}});
    }
  }
  if (usable && report.cases.size() == 1) {
    const Case& one = report.cases.front();
    if (one.shape) first.blocks.push_back(brief_shape(*one.shape));
    if (Table table = first_table(one); !table.rows.empty()) first.blocks.push_back(std::move(table));
    for (const Fit& fit : one.fits) {
      if (&fit == main_fit(one) || (main_fit(one) == nullptr && &fit == &one.fits.front())) {
        first.blocks.push_back(model_line(fit, one.fits.size() > 1));
        if (!fit.slowdowns.empty()) first.blocks.push_back(Text{"slowdown", {one_line(fit.slowdowns.front())}});
      }
    }
    if (Text text = contention_line(one); !text.items.empty()) first.blocks.push_back(std::move(text));
    if (Text text = how_timed(one); !text.items.empty()) first.blocks.push_back(std::move(text));
    if (Text text = drop_line(report, one); !text.items.empty()) first.blocks.push_back(std::move(text));
  }
  if (usable && several) {
    if (Table table = grid_table(report.cases, usable); !table.rows.empty()) first.blocks.push_back(std::move(table));
    for (Block& block : grid_lines(report.cases)) first.blocks.push_back(std::move(block));
    if (const Case* one = main_case(report)) {
      if (Text text = drop_line(report, *one); !text.items.empty()) first.blocks.push_back(std::move(text));
    }
  }
  for (const Notice& notice : said) first.blocks.push_back(notice);
  add_section(document, std::move(first));
  if (usable) {
    for (const Case& one : report.cases) {
      for (const Fit& fit : one.fits) {
        add_predictions(document,
                        "predictions" + (one.fits.size() > 1 ? " for " + one_line(fit.scheme) : std::string()) +
                            (several && one.shape ? " at " + place(one) : ""),
                        fit.predictions);
      }
    }
  }
  const bool measured = !report.cases.empty() || report.conditions;
  if (measured) document.sections.push_back(setup(report));
  if (report.cases.size() > kMaxFullCases) {
    if (!usable) add_table(document, "times by shape, each at its largest N", true, grid_table(report.cases, usable));
    if (usable) {
      add_table(document, "fits", true, fits_table(report.cases));
      add_table(document, "throughput drop of the ranking head", true, drops(largest_drops(report.degradation), true));
    }
  } else {
    for (const Case& one : report.cases) add_case(document, report, one, usable);
  }
  for (const Surface& surface : usable ? report.surfaces : std::vector<Surface>()) add_surface(document, surface);
  add_section(document, all_warnings(report, said));
  return document;
}

Document report_document(const Report& report) {
  Document document = run_document(report);
  const auto append = [&](Document other) {
    if (document.answer.empty()) {
      document.answer = std::move(other.answer);
      document.answer_level = other.answer_level;
    }
    std::move(other.sections.begin(), other.sections.end(), std::back_inserter(document.sections));
  };
  if (report.sizing) append(sizing_document(report));
  if (report.traffic) append(traffic_document(report));
  if (document.answer.empty() && document.sections.empty()) document.answer = "Nothing was measured.";
  return document;
}

}  // namespace kvcast::report
