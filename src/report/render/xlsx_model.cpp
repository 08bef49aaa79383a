#include "report/render/xlsx_model.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "kvcast/cost_model.h"
#include "report/conclusion.h"
#include "report/layout.h"

namespace kvcast::report {
namespace {

// N of a model beyond any that kvcast sizes; measured N that a formula can hold.
constexpr std::int64_t kMaxCandidates = 1'000'000'000;
constexpr std::size_t kMaxBreakpoints = 50;
constexpr double kTail = 0.99;
constexpr std::size_t kLastColumn = 11;  // of text, at least

// ---- formulas

/// What a formula comes to now, and the formula, without a = in front.
struct Live {
  double value = 0;
  std::string formula;
};
Live number(double value) { return {value, format_double(value)}; }
Live operator+(const Live& a, const Live& b) { return {a.value + b.value, "(" + a.formula + "+" + b.formula + ")"}; }
Live operator-(const Live& a, const Live& b) { return {a.value - b.value, "(" + a.formula + "-" + b.formula + ")"}; }
Live operator*(const Live& a, const Live& b) { return {a.value * b.value, a.formula + "*" + b.formula}; }
Live operator/(const Live& a, const Live& b) { return {a.value / b.value, a.formula + "/(" + b.formula + ")"}; }
Live log(const Live& a) { return {std::log(a.value), "LN(" + a.formula + ")"}; }
Live exp(const Live& a) { return {std::exp(a.value), "EXP(" + a.formula + ")"}; }
/// `below` where x < end.
Live choose(const Live& x, const Live& end, const Live& below, const Live& from) {
  return {x.value < end.value ? below.value : from.value,
          "IF(" + x.formula + "<" + end.formula + "," + below.formula + "," + from.formula + ")"};
}

/// A formula of a model in cells: N by `n`, a symbol by the name of its input.
std::string in_cells(const std::string& formula, const std::map<std::string, std::string>& names,
                     const std::string& n) {
  std::string text;
  for (std::size_t i = 0; i < formula.size();) {
    std::size_t end = i;
    while (end < formula.size() && (std::isalnum(static_cast<unsigned char>(formula[end])) || formula[end] == '_'))
      ++end;
    const std::string word = formula.substr(i, std::max<std::size_t>(1, end - i));
    const auto found = names.find(word);
    text += word == "N" ? n : found == names.end() ? word : found->second;
    i += word.size();
  }
  return text;
}
std::string or_empty(const std::string& formula) { return "=IFERROR(" + formula + ",\"\")"; }

/// Rows of inputs that may be changed, and of what follows from them.
class Inputs {
 public:
  Inputs(Book& book, Sheet& sheet, std::uint32_t& row, std::uint16_t last)
      : book_(book), sheet_(sheet), row_(row), last_(last) {}

  void title(const std::string& text) {
    CellLook look;
    look.bold = true;
    look.size = 13;
    sheet_.across({row_++, 0}, last_, text, look);
    std::uint16_t column = 0;
    for (const char* const name : {"input", "value", "95% low", "95% high", "unit", "name", "what"}) {
      sheet_.head({row_, column}, name, "", column > 0 && column < 4);
      ++column;
    }
    ++row_;
  }
  /// Without a name formulas find it by its cell.
  Live input(const std::string& label, const std::string& name, double value, const std::string& unit,
             const std::string& what, const std::optional<Interval>& ends = {}) {
    const At at = line(label, unit, name, what, ends);
    sheet_.input(at, value, unit);
    if (!name.empty()) book_.name(name, sheet_, at);
    row_++;
    return {value, name.empty() ? relative(at) : name};
  }
  /// Without a value: "-", and `what` says why.
  Live derived(const std::string& label, const std::string& formula, std::optional<double> value,
               const std::string& unit, const std::string& what = "", const std::string& name = "") {
    const At at = line(label, unit, name, what, {});
    if (value) {
      sheet_.formula(at, formula, value, unit);
    } else {
      sheet_.value(at, "-");
    }
    if (!name.empty()) book_.name(name, sheet_, at);
    row_++;
    return {value.value_or(0), relative(at)};
  }
  Live derived(const std::string& label, const Live& live, const std::string& unit, const std::string& what = "",
               const std::string& name = "") {
    return derived(label, "=" + live.formula, live.value, unit, what, name);
  }

 private:
  At line(const std::string& label, const std::string& unit, const std::string& name, const std::string& what,
          const std::optional<Interval>& ends) {
    sheet_.value({row_, 0}, label);
    if (ends) {
      sheet_.value({row_, 2}, ends->lo, unit);
      sheet_.value({row_, 3}, ends->hi, unit);
    }
    sheet_.value({row_, 4}, unit);
    sheet_.value({row_, 5}, name);
    if (!what.empty()) sheet_.across({row_, 6}, last_, what);
    return {row_, 1};
  }

  Book& book_;
  Sheet& sheet_;
  std::uint32_t& row_;
  std::uint16_t last_;
};

// ---- N from a P99 budget

/// Time of a request: through what was measured, between two a straight line or one of the logs; beyond them a + b N,
/// scaled to meet the outermost; that line alone where nothing was measured. b > 0.
struct RequestTime {
  Live a, b;
  std::vector<std::pair<Live, Live>> breakpoints;  ///< N and seconds, ascending in both
  bool straight = true;

  Live line(const Live& n) const { return a + b * n; }

  Live seconds(const Live& n) const {
    if (breakpoints.empty()) return line(n);
    return through(n, breakpoints, [&](const auto& edge) { return edge.second * line(n) / line(edge.first); });
  }
  /// The N, not rounded, that takes so many seconds.
  Live candidates(const Live& t) const {
    if (breakpoints.empty()) return (t - a) / b;
    std::vector<std::pair<Live, Live>> turned;
    for (const auto& [n, seconds] : breakpoints) turned.emplace_back(seconds, n);
    return through(t, turned, [&](const auto& edge) { return (t / edge.first * line(edge.second) - a) / b; });
  }

 private:
  template <typename Beyond>
  Live through(const Live& x, const std::vector<std::pair<Live, Live>>& points, const Beyond& beyond) const {
    Live result = beyond(points.back());
    for (std::size_t i = points.size(); --i > 0;) {
      const auto& [x0, y0] = points[i - 1];
      const auto& [x1, y1] = points[i];
      result = choose(
          x, x1, straight ? y0 + (x - x0) / (x1 - x0) * (y1 - y0) : y0 * exp(log(x / x0) / log(x1 / x0) * log(y1 / y0)),
          result);
    }
    return choose(x, points.front().first, beyond(points.front()), result);
  }
};

/// Of the sized shape; null where times are unknown or nothing follows from them by a formula of a cell.
const SizingModel* sized_model(const Report& report) {
  if (!report.sizing) return nullptr;
  const Sizing& sizing = *report.sizing;
  const auto sized = std::find_if(sizing.models.begin(), sizing.models.end(), [&](const SizingModel& model) {
    return model.history_length == sizing.history_length && model.layers == sizing.layers;
  });
  const bool timed = std::any_of(sizing.points.begin(), sizing.points.end(),
                                 [](const SizingPoint& point) { return point.scheme_s.has_value(); });
  if (sized == sizing.models.end() || !timed || !(sized->candidate_s > 0) || sized->block_s) return nullptr;
  return &*sized;
}

/// P99 over the time of the model.
double tail_of(const Sizing& sizing) {
  if (sizing.residuals.empty()) return 1;
  const auto count = static_cast<double>(sizing.residuals.size());
  const auto rank = static_cast<std::size_t>(std::ceil(kTail * count - 1e-9 * count));
  return sizing.residuals[std::max<std::size_t>(rank, 1) - 1];
}

/// Nothing, with the reason, where these cells would not come to what the sizing says: there is no formula of a queue.
void write_live_sizing(Book& book, Sheet& sheet, std::uint32_t& row, std::uint16_t last, const Sizing& sizing,
                       const SizingModel& model) {
  RequestTime time{number(model.prefill_s), number(model.candidate_s), {}, model.straight};
  bool rises = true;
  for (std::size_t i = 0; i < model.measured_candidates.size(); ++i) {
    rises = rises && (i == 0 || model.measured_s[i - 1] < model.measured_s[i]);
    time.breakpoints.emplace_back(number(model.measured_candidates[i]), number(model.measured_s[i]));
  }
  const auto named = [&](const char* name) {
    const auto found = std::find_if(sizing.budgets.begin(), sizing.budgets.end(),
                                    [&](const SizingBudget& one) { return one.name == name; });
    return found == sizing.budgets.end() ? nullptr : &*found;
  };
  const SizingBudget* budget = named("p99");
  const double tail = tail_of(sizing);
  const double limit = budget != nullptr ? budget->limit : 2 * tail * time.seconds(number(1)).value;
  // As in the sizing, a budget that is met exactly is met, and nothing is said beyond what is known.
  const auto most = static_cast<double>(sizing.known_to.value_or(kMaxCandidates));
  const auto bounded = [&](double exact) { return std::clamp(std::floor(exact * (1 + 1e-9)), 0.0, most); };
  const double candidates = bounded(time.candidates(number(limit / tail)).value);
  const bool same =
      budget == nullptr || budget->expected_candidates.value_or(-1) == static_cast<std::int64_t>(candidates);
  if (named("qps") != nullptr || !rises || !same || time.breakpoints.size() > kMaxBreakpoints) {
    sheet.across(
        {row, 0}, last,
        named("qps") != nullptr
            ? "No live model: the queue at a rate of requests is no formula of a cell. kvcast size, or the page, "
              "sizes again."
            : "No live model: no formula follows these times. kvcast size sizes again.");
    row += 2;
    return;
  }
  Inputs inputs(book, sheet, row, last);
  inputs.title("N from a P99 budget, without queueing: change a coloured cell");
  const Live live_limit =
      inputs.input("P99 budget", "size_budget", limit, "s", budget != nullptr ? "stated" : "example: none was stated");
  const Live live_tail = inputs.input("tail", "size_tail", tail, "ratio",
                                      "99% of the timings are at most this many times the time of their N");
  for (auto& [n, seconds] : time.breakpoints) {
    seconds = inputs.input(
        "time at N = " + whole(n.value), "", seconds.value, "s",
        model.straight ? "measured; a straight line to the next" : "measured; a straight line of the logs to the next");
  }
  const bool line = time.breakpoints.empty();
  time.a = inputs.input("a", "size_a", model.prefill_s, "s",
                        line ? "of a request's time a + b N" : "of a + b N, scaled to meet the outermost measured N");
  time.b = inputs.input("b", "size_b", model.candidate_s, "s", "of it");
  const Live within = inputs.derived("time within the budget", live_limit / live_tail, "s");
  const Live exact = inputs.derived("N, not rounded", time.candidates(within), "");
  const Live n = inputs.derived(
      "N", Live{bounded(exact.value), "MAX(0,MIN(" + format_double(most) + ",INT(" + exact.formula + "*(1+1E-9))))"},
      "candidates",
      sizing.known_to ? "largest that meets it, up to the largest N that anything is known of"
                      : "largest that meets it",
      "size_n");
  const Live there = inputs.derived("time there", time.seconds(n), "s");
  inputs.derived("P99 there", live_tail * there, "s");
  ++row;
}

// ---- speed-up

const SchemePoint* scheme_at(const Case& one, std::int64_t candidates, const std::string& scheme) {
  for (const Point& point : one.points) {
    if (point.candidates != candidates) continue;
    for (const SchemePoint& row : point.schemes) {
      if (row.scheme == scheme) return &row;
    }
  }
  return nullptr;
}

/// Of the case's shape.
const Degradation* drop_at(const Report& report, const Case& one, std::optional<std::int64_t> candidates,
                           const std::string& scheme) {
  const Degradation* found = nullptr;
  for (const Degradation& row : report.degradation) {
    const bool of_case = one.shape ? row.history_length == one.shape->history_length && row.layers == one.shape->layers
                                   : !row.history_length && !row.layers;
    if (of_case && row.scheme == scheme && (!candidates || row.candidates == *candidates)) found = &row;
  }
  return found;
}

/// Names of the inputs that a model's symbols stand for. Models share a symbol that has the same value in both.
std::vector<std::map<std::string, std::string>> names_of(const std::vector<FittedModel>& models) {
  std::map<std::string, double> taken;
  std::vector<std::map<std::string, std::string>> names;
  for (const FittedModel& model : models) {
    auto& own = names.emplace_back();
    for (const FittedParameter& one : model.parameters) {
      std::string name = "model_" + one.symbol;
      const auto found = taken.find(name);
      if (found != taken.end() && found->second != one.value) name += std::to_string(names.size());
      taken.emplace(name, one.value);
      own[one.symbol] = name;
    }
  }
  return names;
}

/// A row per N; charts follow.
void write_speedup(Book& book, Sheet& sheet, std::uint32_t& row, std::uint16_t last, const Report& report,
                   const Case& one, const Fit& fit) {
  using Style = Curve::Style;
  const std::string shape =
      one.shape ? ", L=" + integer(one.shape->history_length) + ", layers=" + integer(one.shape->layers) : "";
  Inputs inputs(book, sheet, row, last);
  inputs.title("Speed-up of " + fit.scheme + shape + ": change a coloured cell, and table and charts follow");
  const auto names = names_of(fit.models);
  std::set<std::string> written;
  for (std::size_t i = 0; i < fit.models.size(); ++i) {
    for (const FittedParameter& parameter : fit.models[i].parameters) {
      const std::string& name = names[i].at(parameter.symbol);
      if (!written.insert(name).second) continue;
      inputs.input(parameter.symbol, name, parameter.value, parameter.unit,
                   parameter.name + " of the model " + fit.models[i].formula,
                   parameter.symbol == "r" && i == 0 ? fit.r->ci95 : std::nullopt);
    }
  }
  const Live design_note =
      inputs.input("r of the design note", "model_r_design_note", kDesignNoteR, "ratio", "for comparison");
  // Of the ranker, where it was measured or given.
  std::optional<Live> drop;
  if (const Degradation* measured = drop_at(report, one, std::nullopt, kBaseline)) {
    drop = inputs.input("drop of naive", "model_drop", measured->drop.value, "0..1",
                        "measured at N = " + integer(measured->candidates), measured->drop.ci95);
  } else if (report.sizing && report.sizing->drop) {
    drop = inputs.input("drop of naive", "model_drop", report.sizing->drop->value, "0..1",
                        to_string(report.sizing->drop_source) + " for the sizing", report.sizing->drop->ci95);
  }
  const FittedModel* used = fit.in_use();
  const std::size_t used_at = used == nullptr ? 0 : static_cast<std::size_t>(used - fit.models.data());
  const auto derived = [&](const char* label, const char* unit, const std::string& formula,
                           const std::optional<double>& value, const std::string& what) {
    inputs.derived(label, formula, value, unit,
                   used == nullptr ? "no model describes these timings"
                   : value         ? what + " of the model in use, " + used->formula
                                   : "not known from these N");
  };
  const auto of_used = [&](std::string FittedModel::*formula) {
    return used == nullptr ? "" : in_cells(used->*formula, names[used_at], "");
  };
  derived("limit of the speed-up", "ratio", or_empty(of_used(&FittedModel::limit)), fit.asymptote,
          used == nullptr ? "" : used->limit);
  derived(
      "N for 90% of it", "candidates", or_empty("MAX(1,ROUNDUP((" + of_used(&FittedModel::for_90) + ")*(1-1E-9),0))"),
      fit.candidates_for_90 ? std::optional(static_cast<double>(*fit.candidates_for_90)) : std::nullopt, "rounded up,");
  ++row;

  struct Head {
    std::string name;
    Style style = Style::line;
  };
  std::vector<Head> heads = {{"N"}, {"measured", Style::marks}, {"95% low", Style::ends}, {"95% high", Style::ends}};
  constexpr std::size_t kMeasured = 1, kModels = 4;
  for (const FittedModel& model : fit.models) heads.push_back({model.formula});
  heads.push_back({"r = 0.15 (design note)"});
  const std::size_t improvement = heads.size();
  heads.push_back({"improvement"});
  if (drop) {
    heads.push_back({"drop, design note's rule"});
    heads.push_back({"drop, exact"});
  }
  const std::size_t measured_drops = heads.size();
  if (drop_at(report, one, std::nullopt, kBaseline) != nullptr) {
    heads.push_back({"naive's drop, measured", Style::marks});
    heads.push_back({"drop, measured", Style::marks});
  }
  const auto column = [](std::size_t at) { return static_cast<std::uint16_t>(at); };
  for (std::size_t i = 0; i < heads.size(); ++i)
    sheet.head({row, column(i)}, heads[i].name, i == 0 ? "candidates" : "", true);

  std::set<std::int64_t> all = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000};
  for (const Point& point : one.points) all.insert(point.candidates);
  const std::uint32_t first = row + 1;
  for (const std::int64_t candidates : all) {
    ++row;
    sheet.input({row, 0}, candidates);
    const Live n{static_cast<double>(candidates), relative({row, 0})};
    std::optional<double> in_use;  // where no model is, what was measured
    if (const SchemePoint* point = scheme_at(one, candidates, fit.scheme); point != nullptr && point->speedup) {
      in_use = point->speedup->value;
      sheet.value({row, column(kMeasured)}, point->speedup->value, "ratio");
      if (point->speedup->ci95) {
        sheet.value({row, column(kMeasured + 1)}, point->speedup->ci95->lo, "ratio");
        sheet.value({row, column(kMeasured + 2)}, point->speedup->ci95->hi, "ratio");
      }
    }
    for (std::size_t i = 0; i < fit.models.size(); ++i) {
      sheet.formula({row, column(kModels + i)}, or_empty(in_cells(fit.models[i].formula, names[i], n.formula)),
                    modelled_speedup(fit.models[i], n.value), "ratio");
    }
    const Live by_note = n / (number(1) + (n - number(1)) * design_note);
    sheet.formula({row, column(improvement - 1)}, "=" + by_note.formula, by_note.value, "ratio");
    if (used != nullptr) in_use = modelled_speedup(*used, n.value);
    if (in_use) {
      const Live by{*in_use, relative({row, column(used != nullptr ? kModels + used_at : kMeasured)})};
      const auto write = [&](std::size_t at, const Live& live) {
        sheet.formula({row, column(at)}, "=IF(" + by.formula + "=\"\",\"\"," + live.formula + ")", live.value, "0..1");
      };
      write(improvement, number(1) - number(1) / by);
      if (drop) {
        write(improvement + 1, *drop / by);
        write(improvement + 2,
              choose(number(0), *drop, number(1) / (number(1) + by * (number(1) - *drop) / *drop), number(0)));
      }
    }
    std::size_t at = measured_drops;
    for (const std::string& scheme : {std::string(kBaseline), fit.scheme}) {
      if (const Degradation* lost = drop_at(report, one, candidates, scheme)) {
        sheet.value({row, column(at)}, lost->drop.value, "0..1");
      }
      ++at;
    }
  }
  const std::uint32_t end = row++;
  sheet.across({row, 0}, last,
               "measured: over naive's throughput. Improvement and drops: by the speed-up " +
                   (used != nullptr ? used->formula : "measured") + "; docs/model.md 2-3.");
  row += 2;
  const auto curves = [&](std::size_t from, std::size_t to) {
    std::vector<Curve> all_of;
    for (std::size_t i = from; i < to; ++i) {
      all_of.push_back({heads[i].name, sheet.range({first, 0}, {end, 0}),
                        sheet.range({first, column(i)}, {end, column(i)}), heads[i].style});
    }
    return all_of;
  };
  const Axis x{"N, candidates (log)", "General", true};
  sheet.chart({row, 0}, 0, "Speed-up over naive", x, {"speed-up (log)", "General", true},
              curves(kMeasured, improvement));
  sheet.chart({row, 0}, kChartWidth + 20, "Throughput drop of the ranker", x, {"drop", "0%"},
              curves(improvement + 1, heads.size()));
  row += kChartRows;
}

}  // namespace

bool has_live_model(const Report& report) { return main_case(report) != nullptr || sized_model(report) != nullptr; }

void write_live_model(Book& book, Sheet& sheet, const Report& report) {
  std::uint32_t row = 0;
  sheet.widen(0, 22);
  const Case* one = main_case(report);
  const std::size_t models = one != nullptr ? main_fit(*one)->models.size() : 0;
  const auto last = static_cast<std::uint16_t>(std::max(kLastColumn, models + 9));
  if (const SizingModel* model = sized_model(report)) {
    write_live_sizing(book, sheet, row, last, *report.sizing, *model);
  }
  if (one != nullptr) write_speedup(book, sheet, row, last, report, *one, *main_fit(*one));
  sheet.print({row, last}, static_cast<std::uint16_t>(1 + row / kPageRows));
}

}  // namespace kvcast::report
