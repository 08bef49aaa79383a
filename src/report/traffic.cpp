// Traffic: one sequence of sections, for a terminal and as Markdown; and as CSV, a row per number.
#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/budget.h"
#include "base/text.h"
#include "kvcast/kvcast.h"
#include "report/columns.h"
#include "report/csv.h"
#include "report/format.h"
#include "report/layout.h"
#include "report/quantities.h"
#include "report/sections.h"

namespace kvcast {
namespace report {
namespace {

constexpr std::size_t kTrafficMargin = 14;
// Lines of a table that is a curve: the files have all of it.
constexpr std::size_t kShownWindows = 12;

/// Requests per second, or per the unit of time in which there are some.
std::string rate(double per_second) {
  const double per_day = 86400 * per_second;
  if (per_second > 0 && per_second < 1e-3) return per_day < 1e-3 ? "under 0.001/day" : significant(per_day, 4) + "/day";
  return significant(per_second, 4) + "/s";
}

/// A value in the unit of its row.
std::string quantity(double value, const std::string& unit) {
  if (!std::isfinite(value)) return "-";
  if (unit == "s") return seconds(value);
  if (unit == "bytes") return bytes(value);
  if (unit == "1/s") return rate(value);
  if (unit == "0..1") return share(value, 2);
  if (unit == "tokens/s") return significant(value, 4) + " tokens/s";
  if (std::floor(value) == value && std::abs(value) < 1e15) return whole(value);
  return significant(value, 4);
}
std::string quantity(const std::optional<double>& value, const std::string& unit) {
  return value ? quantity(*value, unit) : "-";
}
std::string ends(const std::optional<Estimate>& value, const std::string& unit) {
  if (!value || !value->ci95) return "-";
  return "[" + quantity(value->ci95->lo, unit) + ", " + quantity(value->ci95->hi, unit) + "]";
}
std::string middle(const std::optional<Estimate>& value, const std::string& unit) {
  return value ? quantity(value->value, unit) : "-";
}

/// A name without its unit, which the value has.
std::string words(const std::string& name) {
  std::string text = one_line(name);
  for (const std::string unit : {"_per_s", "_s"}) {
    if (text.ends_with(unit)) text.erase(text.size() - unit.size());
  }
  if (text.size() > 1 && text[0] == 'p' && text[1] >= '0' && text[1] <= '9') text[0] = 'P';
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

const TrafficLatency* latency(const Traffic& traffic, const char* name) {
  const auto found = std::find_if(traffic.latencies.begin(), traffic.latencies.end(),
                                  [&](const TrafficLatency& row) { return row.name == name; });
  return found == traffic.latencies.end() ? nullptr : &*found;
}
std::optional<Estimate> figure(const Traffic& traffic, const char* name) {
  const auto found = std::find_if(traffic.figures.begin(), traffic.figures.end(),
                                  [&](const TrafficFigure& row) { return row.name == name; });
  return found == traffic.figures.end() ? std::nullopt : found->value;
}

/// "4 workers", "a cache of 1.00 GiB": a value of what was searched for.
std::string found_value(const TrafficFind& find, double value) {
  if (find.what == FindTarget::qps) return rate(value);
  if (find.what == FindTarget::cache) return value > 0 ? "a cache of " + bytes(value) : "no cache";
  return whole(value) + (find.what == FindTarget::workers ? " worker" : " candidate") + (value == 1 ? "" : "s");
}

std::string find_answer(const TrafficFind& find, double limit) {
  const bool least = find.what == FindTarget::workers || find.what == FindTarget::cache;
  const std::string budget = "a P99 of " + seconds(limit);
  if (!find.value) {
    if (!find.fails_at) return "nothing meets " + budget;
    const bool plural = find.what == FindTarget::workers && *find.fails_at != 1;
    if (!find.p99_s)
      return found_value(find, *find.fails_at) + (plural ? " are" : " is") + " not shown to meet " + budget;
    return "not even " + found_value(find, *find.fails_at) + (plural ? " meet " : " meets ") + budget;
  }
  std::string text = budget + (least ? " takes " : " allows ") + found_value(find, *find.value);
  if (!find.fails_at) text += least ? ", the least there is" : ", the most that was tried";
  return text;
}

/// A time beside one that it exceeds, with as many digits as tell them apart.
std::string exceeds(double value, double limit) {
  const double unit = limit >= 1 ? 1 : limit >= 1e-3 ? 1e3 : 1e6;
  const char* name = unit == 1 ? " s" : unit == 1e3 ? " ms" : " us";
  if (seconds(value) != seconds(limit)) return seconds(value) + " exceeds the limit of " + seconds(limit);
  int digits = 4;
  while (digits < 12 && significant(value * unit, digits) == significant(limit * unit, digits)) ++digits;
  return significant(value * unit, digits) + name + " exceeds the limit of " + significant(limit * unit, digits) + name;
}

std::string p99_answer(const Traffic& traffic) {
  const TrafficLatency* p99 = latency(traffic, "p99");
  if (p99 == nullptr || !p99->total) {
    const bool told = p99 != nullptr && !p99->missing.empty();
    return "P99 unknown" + (told ? " (" + one_line(p99->missing) + ")" : std::string());
  }
  const double value = p99->total->value, limit = traffic.p99_limit_s.value_or(value);
  std::string text = "P99 " + (within_budget(value, limit) ? seconds(value) : exceeds(value, limit));
  if (p99->wait) text += " (P99 of the wait " + seconds(p99->wait->value) + ")";
  return text;
}

/// What the answer leaves out; empty: nothing.
std::string over_cpus(const Traffic& traffic) {
  const auto& [threads, cpus] = std::pair(traffic.costs.threads, traffic.costs.cpus);
  if (!threads || !cpus || traffic.server.workers * *threads <= *cpus) return "";
  return counted(traffic.server.workers, "worker") + " of " + counted(*threads, "thread") + " need more than the " +
         counted(*cpus, "CPU") + " of the measured machine";
}

}  // namespace
}  // namespace report

std::string traffic_answer(const Traffic& traffic) {
  using namespace report;
  if (!traffic.no_result.empty()) return one_line(traffic.no_result);
  const TrafficFind* find = traffic.find.empty() ? nullptr : &traffic.find.front();
  const auto found = [&](FindTarget what) { return find != nullptr && find->value && find->what == what; };
  std::string text;
  if (!traffic.doubt.empty()) text = one_line(traffic.doubt) + ". If the columns are right: ";
  if (find != nullptr) text += find_answer(*find, traffic.p99_limit_s.value_or(0)) + (find->value ? ": " : "; here ");
  if (traffic.saturated) {
    text += "no steady state: " + one_line(traffic.saturation) + ",";
  } else {
    text += p99_answer(traffic);
    if (const auto met = figure(traffic, "attainment")) {
      text += ", " + share(met->value, 2) + " of the requests within " + seconds(traffic.p99_limit_s.value_or(0));
    }
  }
  // The rate of the requests that are counted, which is that of the percentiles.
  const auto arrivals = figure(traffic, "arrivals_per_s");
  if (!found(FindTarget::qps)) text += " at " + rate(arrivals ? arrivals->value : traffic.requests_per_s);
  if (!found(FindTarget::workers)) text += " on " + counted(traffic.server.workers, "worker");
  if (const auto busy = figure(traffic, "utilisation")) text += ", " + share(busy->value, 1) + " busy";
  if (const auto hits = figure(traffic, "hit_rate"); hits && traffic.cache.bytes > 0) {
    text += "; after the warm-up " + share(hits->value, 1) + " of the requests find their user in a cache of " +
            bytes(traffic.cache.bytes);
  }
  if (traffic.skipped_rows > 0 && traffic.log_rows > 0) {
    const double left_out = static_cast<double>(traffic.skipped_rows) / static_cast<double>(traffic.log_rows);
    text += "; " + integer(traffic.skipped_rows) + " of the log's " + integer(traffic.log_rows) + " rows (" +
            share(left_out, 2) + ") left out as bad";
  }
  return text;
}

bool traffic_holds(const Traffic& traffic) {
  if (!traffic.no_result.empty() || traffic.saturated || (!traffic.find.empty() && !traffic.find.front().value))
    return false;
  if (!traffic.p99_limit_s) return true;
  const TrafficLatency* p99 = report::latency(traffic, "p99");
  return p99 != nullptr && p99->total && within_budget(p99->total->value, *traffic.p99_limit_s);
}

namespace report {
namespace {

Section latencies(const Traffic& traffic) {
  std::vector<std::string> missing;
  if (traffic.saturated) missing.push_back("no steady state, so no percentile is one of it");
  for (const TrafficLatency& row : traffic.latencies) {
    if (!row.missing.empty()) missing.push_back(words(row.name) + ": " + one_line(row.missing));
  }
  return section("time from arrival to answer",
                 {{"", "", false},
                  {"", "in all", true},
                  {"", "95% interval", false},
                  {"of it", "waiting", true},
                  {"", "95% interval", false}},
                 rows_of(traffic.latencies,
                         [](const TrafficLatency& row) {
                           return std::vector<std::string>{words(row.name), middle(row.total, "s"),
                                                           ends(row.total, "s"), middle(row.wait, "s"),
                                                           ends(row.wait, "s")};
                         }),
                 join(missing, "; "));
}

Section figures(const Traffic& traffic) {
  return section("what the fleet does", {{"", "", false}, {"", "value", true}, {"", "95% interval", false}},
                 rows_of(traffic.figures, [](const TrafficFigure& row) {
                   // Beside the hit rates of the caches of other sizes, which are of all requests.
                   const bool behind = row.name == "hit_rate" || row.name == "token_hit_rate";
                   return std::vector<std::string>{words(row.name) + (behind ? ", after the warm-up" : ""),
                                                   middle(row.value, row.unit), ends(row.value, row.unit)};
                 }));
}

Section replay(const Traffic& traffic) {
  return section("simulated against replayed on the engine",
                 {{"", "", false},
                  {"", "replayed", true},
                  {"", "simulated", true},
                  {"", "off by", true},
                  {"held to", "within", true},
                  {"", "", false}},
                 rows_of(traffic.replay, [](const ReplayComparison& row) {
                   return std::vector<std::string>{words(row.name),
                                                   quantity(row.replayed, row.unit),
                                                   quantity(row.simulated, row.unit),
                                                   share(row.error_pct / 100, 1),
                                                   row.tolerance_pct ? share(*row.tolerance_pct / 100, 0) : "-",
                                                   row.within ? "" : "outside"};
                 }));
}

Section workload(const Traffic& traffic) {
  return section("the requests",
                 {{"", "", false},
                  {"", "mean", true},
                  {"", "P50", true},
                  {"", "P95", true},
                  {"", "P99", true},
                  {"", "largest", true}},
                 rows_of(traffic.columns, [](const WorkloadColumn& row) {
                   return std::vector<std::string>{words(row.name),
                                                   quantity(row.mean, row.unit),
                                                   quantity(row.p50, row.unit),
                                                   quantity(row.p95, row.unit),
                                                   quantity(row.p99, row.unit),
                                                   quantity(row.max, row.unit)};
                 }));
}

Section hit_rates(const Traffic& traffic) {
  return section(
      "what a cache finds, by its size, of all requests from an empty cache on",
      {{"", "cache", true},
       {"requests:", "LRU", true},
       {"", "Che", true},
       {"", "Belady", true},
       {"", "bound", true},
       {"tokens:", "LRU", true}},
      rows_of(traffic.hit_rates,
              [](const HitRatePoint& row) {
                return std::vector<std::string>{bytes(row.cache_bytes), share(row.lru, 1),   share(row.che, 1),
                                                share(row.belady, 1),   share(row.bound, 1), share(row.lru_tokens, 1)};
              }),
      "without any queue, and with the warm-up, whose first requests find nobody; Belady drops who is needed "
      "last; no policy finds more than the bound; Che takes users to come independently");
}

Section capacity(const Traffic& traffic) {
  return section("the same fleet at other rates",
                 {{"", "rate", true},
                  {"utili-", "sation", true},
                  {"", "P99", true},
                  {"", "95% interval", false},
                  {"workers of a", "perfect system", true}},
                 rows_of(traffic.capacity, [](const CapacityPoint& row) {
                   return std::vector<std::string>{rate(row.requests_per_s), share(row.utilisation, 1),
                                                   row.saturated ? "falls behind"
                                                   : row.p99_s   ? middle(row.p99_s, "s")
                                                                 : "too few requests",
                                                   ends(row.p99_s, "s"), integer(row.offered_load_workers)};
                 }));
}

Section windows(const Traffic& traffic) {
  std::vector<TrafficWindow> shown = traffic.windows;
  std::string below = traffic.replications > 1 ? "of the first replication; " : "";
  below += "a perfect system needs arrivals times mean service time, rounded up";
  if (shown.size() > kShownWindows) {
    std::vector<TrafficWindow> some;
    const std::size_t step = (shown.size() + kShownWindows - 1) / kShownWindows;
    for (std::size_t i = 0; i < shown.size(); i += step) some.push_back(shown[i]);
    // 64 windows at most: a step of 2 to 6.
    below += "; every " + integer(static_cast<std::int64_t>(step)) +
             (step == 2   ? "nd"
              : step == 3 ? "rd"
                          : "th") +
             " of " + integer(static_cast<std::int64_t>(shown.size())) + " windows";
    shown = std::move(some);
  }
  return section("over time",
                 {{"", "from", true},
                  {"", "arrive", true},
                  {"", "answered", true},
                  {"", "waiting", true},
                  {"", "found", true},
                  {"", "P99", true},
                  {"workers of a", "perfect system", true}},
                 rows_of(shown,
                         [](const TrafficWindow& row) {
                           return std::vector<std::string>{seconds(row.start_s),
                                                           rate(row.arrivals_per_s),
                                                           rate(row.completions_per_s),
                                                           significant(row.queue, 3),
                                                           share(row.hit_rate, 1),
                                                           quantity(row.p99_s, "s"),
                                                           integer(row.offered_load_workers)};
                         }),
                 std::move(below));
}

std::vector<Section> sections(const Traffic& traffic) {
  std::vector<Section> all;
  const auto add = [&](Section made) {
    if (!made.grid.empty()) all.push_back(std::move(made));
  };
  add(latencies(traffic));
  add(figures(traffic));
  add(replay(traffic));
  add(workload(traffic));
  add(hit_rates(traffic));
  add(capacity(traffic));
  add(windows(traffic));
  return all;
}

/// What was served by what, in a line.
std::string subject(const Traffic& traffic) {
  const ServerOptions& server = traffic.server;
  std::string text = integer(traffic.requests) + " requests of " + integer(traffic.users) + " users in " +
                     seconds(traffic.duration_s) + " (" + one_line(traffic.workload) + "), " +
                     counted(server.workers, "worker") + ", " +
                     (server.order == ServeOrder::fifo ? "first come first served" : "shortest service first");
  if (server.batch_max > 1) {
    text += ", batches of up to " + integer(server.batch_max) + " within " + seconds(server.batch_window_s);
  }
  if (traffic.cache.bytes > 0) {
    text +=
        ", cache of " + bytes(traffic.cache.bytes) + " in pages of " + integer(traffic.cache.page_tokens) + " tokens";
    if (traffic.cache.policy != "lru") text += ", by the policy " + one_line(traffic.cache.policy);
    if (traffic.cache.ttl_s) text += ", dropped after " + seconds(*traffic.cache.ttl_s);
  }
  text += "; service times " + one_line_or_dash(to_string(traffic.costs.source));
  if (!traffic.costs.basis.empty()) text += " (" + one_line(traffic.costs.basis) + ")";
  return text + "; a perfect system needs " + counted(traffic.offered_load_workers, "worker") +
         " in the busiest window";
}

/// How the log was read: before what follows from it.
std::string reading(const Traffic& traffic) {
  std::string text;
  for (const std::string& how : traffic.reading) text += paragraph("", sentence(one_line(how)), 0);
  return text;
}

}  // namespace

std::string render_traffic_table(const Report& report) {
  const Traffic& traffic = *report.traffic;
  const std::string crowded = over_cpus(traffic);
  std::string text = emphasised(paragraph("", sentence(traffic_answer(traffic)), 0),
                                traffic_holds(traffic) ? Emphasis::strong : Emphasis::bad) +
                     (crowded.empty() ? "" : emphasised(paragraph("", sentence(crowded), 0), Emphasis::warning)) +
                     reading(traffic) + emphasised(paragraph("", subject(traffic), 0), Emphasis::faint) +
                     sections_text(sections(traffic));
  if (!traffic.assumptions.empty()) text += "\n";
  for (const std::string& note : traffic.assumptions) text += paragraph("assumed", one_line(note), kTrafficMargin);
  return text;
}

std::string render_traffic_csv(const Report& report) {
  const Traffic& traffic = *report.traffic;
  const std::string of_times = to_string(traffic.costs.source);
  std::string text = csv_row(quantity_head());
  text += quantity_rows("traffic", traffic_columns(), {traffic}, {false, "simulated", {}});
  visit_traffic_parts(traffic, [&](const std::string& name, const auto& columns, const auto& row) {
    text += quantity_rows(name, columns, {row}, {false, name == "costs" ? of_times : "assumed", {}});
  });
  const auto replayed = [](const std::string&, const std::string& column, const std::string& source) {
    return column == "replayed" ? "measured" : source;
  };
  visit_traffic_lists(traffic, [&](const std::string& name, const auto& columns, const auto& rows) {
    const std::string source = name == "service" ? of_times : name == "columns" ? "computed" : "simulated";
    text += quantity_rows(name, columns, rows, {true, source, replayed});
  });
  return text;
}

std::string render_traffic_markdown(const Report& report) {
  const Traffic& traffic = *report.traffic;
  const std::string crowded = over_cpus(traffic);
  std::string text = "## Traffic\n\n**" + sentence(traffic_answer(traffic)) + "**\n\n" +
                     (crowded.empty() ? "" : sentence(crowded) + "\n\n");
  for (const std::string& how : traffic.reading) text += sentence(one_line(how)) + "\n\n";
  text += subject(traffic) + "\n" + sections_markdown(sections(traffic));
  if (!traffic.assumptions.empty()) text += "\n### assumed\n\n";
  for (const std::string& note : traffic.assumptions) text += "- " + one_line(note) + "\n";
  return inert(text);
}

}  // namespace report
}  // namespace kvcast
