#include "report/views/traffic.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/budget.h"
#include "base/text.h"
#include "kvcast/kvcast.h"
#include "report/layout.h"
#include "report/views/cells.h"

namespace kvcast {
namespace report {
namespace {

// Lines of a table that is a curve: the files have all of it.
constexpr std::size_t kShownWindows = 12;

/// What a row of the contract is called; its unit is with the value.
std::string words(const std::string& name) {
  static const std::vector<std::pair<std::string, std::string>> names = {
      {"arrivals_per_s", "arrivals"},
      {"completions_per_s", "throughput"},
      {"service_s", "mean service time"},
      {"waiting_share", "requests that wait"},
      {"waiting", "mean requests waiting"},
      {"in_system", "mean requests in the system"},
      {"littles_ratio", "check by Little's law (1 is exact)"},
      {"hit_rate", "hit rate"},
      {"token_hit_rate", "hit rate by tokens"},
      {"evictions_per_s", "evictions"},
      {"saved_tokens_per_s", "tokens reused"},
      {"recomputed_tokens_per_s", "tokens recomputed"},
      {"attainment", "requests within the P99 budget"},
      {"gap_s", "time between requests"},
      {"requests_per_user", "requests of a user"},
  };
  const auto found = std::find_if(names.begin(), names.end(), [&](const auto& pair) { return pair.first == name; });
  if (found != names.end()) return found->second;
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
  const bool smallest = find.what == FindTarget::workers || find.what == FindTarget::cache;
  const std::string budget = "a P99 of " + seconds(limit);
  if (!find.value) {
    if (!find.fails_at) return "nothing meets " + budget;
    const bool plural = find.what == FindTarget::workers && *find.fails_at != 1;
    if (!find.p99_s)
      return found_value(find, *find.fails_at) + (plural ? " are" : " is") + " not shown to meet " + budget;
    return "not even " + found_value(find, *find.fails_at) + (plural ? " meet " : " meets ") + budget;
  }
  std::string text = budget + (smallest ? " takes " : " allows ") + found_value(find, *find.value);
  if (!find.fails_at) text += smallest ? ", the smallest there is" : ", the largest tried";
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

Cell value_cell(const std::optional<Estimate>& value, const std::string& unit) {
  return amount_cell(value ? std::optional(value->value) : std::nullopt, unit);
}
Cell ends_cell(const std::optional<Estimate>& value, const std::string& unit) {
  return amount_interval_cell(value ? value->ci95 : std::nullopt, unit);
}

// Columns of rows that have a name, and a unit.
const auto named = [](const auto& row) { return text_cell(words(row.name)); };
template <typename Row>
Col<Row> amounts(const char* name, double Row::*member) {
  return cells<Row>(
      name, [=](const Row& row) { return amount_cell(row.*member, row.unit); }, true);
}
const auto kValue = [](const std::optional<Estimate>& value) { return value_cell(value, "s"); };
const auto kRate = [](double per_second) { return amount_cell(per_second, "1/s"); };

Table latencies(const Traffic& traffic) {
  using T = TrafficLatency;
  std::vector<std::string> missing;
  if (traffic.saturated) missing.push_back("no steady state, so there are no percentiles");
  for (const T& row : traffic.latencies) {
    if (!row.missing.empty()) missing.push_back(words(row.name) + ": " + one_line(row.missing));
  }
  return table_of<T>("latency, queueing included", traffic.latencies,
                     {cells<T>("", named), numbers<T>("latency", &T::total, kValue),
                      cells<T>("95% interval", [](const T& row) { return ends_cell(row.total, "s"); }),
                      numbers<T>("queueing", &T::wait, kValue),
                      cells<T>("95% interval", [](const T& row) { return ends_cell(row.wait, "s"); })},
                     join(missing, "; "));
}

/// What the fleet does, in a line.
Text fleet(const Traffic& traffic) {
  Text text{"fleet", {}};
  for (const char* name : {"completions_per_s", "utilisation", "waiting_share", "hit_rate", "attainment"}) {
    for (const TrafficFigure& row : traffic.figures) {
      if (row.name == name && row.value) text.items.push_back(words(name) + " " + amount(row.value->value, row.unit));
    }
  }
  return text;
}

Table figures(const Traffic& traffic) {
  using T = TrafficFigure;
  const auto name = [](const T& row) {
    // Beside the hit rates of caches of other sizes, which are of all requests.
    const bool behind = row.name == "hit_rate" || row.name == "token_hit_rate";
    return text_cell(words(row.name) + (behind ? ", after the warm-up" : ""));
  };
  return table_of<T>("", traffic.figures,
                     {cells<T>("", name),
                      cells<T>(
                          "value", [](const T& row) { return value_cell(row.value, row.unit); }, true),
                      cells<T>("95% interval", [](const T& row) { return ends_cell(row.value, row.unit); })});
}

Table replay(const Traffic& traffic) {
  using T = ReplayComparison;
  const auto outside = [](const T& row) { return row.within ? Cell{} : text_cell("outside", Emphasis::warning); };
  return table_of<T>("simulation against replay on the engine", traffic.replay,
                     {cells<T>("", named), amounts("replayed", &T::replayed), amounts("simulated", &T::simulated),
                      numbers<T>("off by", &T::error_pct, kHundredths),
                      numbers<T>("allowed", &T::tolerance_pct, kHundredths), cells<T>("", outside)});
}

Table workload(const Traffic& traffic) {
  using T = WorkloadColumn;
  return table_of<T>("", traffic.columns,
                     {cells<T>("", named), amounts("mean", &T::mean), amounts("P50", &T::p50), amounts("P95", &T::p95),
                      amounts("P99", &T::p99), amounts("max", &T::max)});
}

Table hit_rates(const Traffic& traffic) {
  using T = HitRatePoint;
  return table_of<T>(
      "", traffic.hit_rates,
      {numbers<T>("cache", &T::cache_bytes, kBytes), numbers<T>("LRU", &T::lru, shares(1), "requests"),
       numbers<T>("Che", &T::che, shares(1), "requests"), numbers<T>("Belady", &T::belady, shares(1), "requests"),
       numbers<T>("bound", &T::bound, shares(1), "requests"), numbers<T>("LRU", &T::lru_tokens, shares(1), "tokens")},
      "All requests, without queueing and from an empty cache on. Che: LRU by an approximation that takes users as "
      "independent. Belady evicts whoever is needed last. Bound: no policy has more");
}

Table capacity(const Traffic& traffic) {
  using T = CapacityPoint;
  const auto p99 = [](const T& row) {
    return row.saturated ? text_cell("falls behind", Emphasis::bad)
           : row.p99_s   ? value_cell(row.p99_s, "s")
                         : text_cell("too few requests");
  };
  return table_of<T>(
      "", traffic.capacity,
      {numbers<T>("rate", &T::requests_per_s, kRate), numbers<T>("utilisation", &T::utilisation, shares(1)),
       cells<T>("P99", p99, true), cells<T>("95% interval", [](const T& row) { return ends_cell(row.p99_s, "s"); }),
       numbers<T>("lower bound on workers", &T::offered_load_workers, kCount)});
}

std::string ordinal(std::size_t number) {
  const std::size_t last = number % 10, teen = number / 10 % 10;
  const bool plain = teen == 1 || last == 0 || last > 3;
  return integer(static_cast<std::int64_t>(number)) + (plain ? "th" : last == 1 ? "st" : last == 2 ? "nd" : "rd");
}

Table windows(const Traffic& traffic) {
  using T = TrafficWindow;
  const std::size_t all = traffic.windows.size(), step = (all + kShownWindows - 1) / kShownWindows;
  std::vector<T> shown;
  for (std::size_t i = 0; i < all; i += step) shown.push_back(traffic.windows[i]);
  std::string note = traffic.replications > 1 ? "First replication. " : "";
  note += "Lower bound on workers: arrivals times mean service time, rounded up";
  if (step > 1) note += ". Every " + ordinal(step) + " of " + integer(static_cast<std::int64_t>(all)) + " windows";
  return table_of<T>(
      "", shown,
      {numbers<T>("from", &T::start_s, kSeconds), numbers<T>("arrivals", &T::arrivals_per_s, kRate),
       numbers<T>("completions", &T::completions_per_s, kRate), numbers<T>("waiting", &T::queue, digits(3, "requests")),
       numbers<T>("hit rate", &T::hit_rate, shares(1)), numbers<T>("P99", &T::p99_s, kSeconds),
       numbers<T>("lower bound on workers", &T::offered_load_workers, kCount)},
      std::move(note));
}

/// What was served by what.
Text served(const Traffic& traffic) {
  std::vector<std::string> items = {integer(traffic.requests) + " requests of " + integer(traffic.users) +
                                        " users in " + seconds(traffic.duration_s) + " (" + one_line(traffic.workload) +
                                        ")",
                                    counted(traffic.server.workers, "worker")};
  if (traffic.cache.bytes > 0) {
    std::string cache = "cache of " + bytes(traffic.cache.bytes);
    if (traffic.cache.policy != "lru") cache += " by the policy " + one_line(traffic.cache.policy);
    items.push_back(std::move(cache));
  }
  items.push_back("at least " + counted(traffic.offered_load_workers, "worker") + " in the busiest window");
  return {"served", std::move(items), Emphasis::faint};
}

/// How, as far as it is not said in a line.
Section service(const Traffic& traffic) {
  const ServerOptions& server = traffic.server;
  Text order{"order", {server.order == ServeOrder::fifo ? "first come, first served" : "shortest first"}};
  if (server.batch_max > 1) {
    order.items.push_back("batches of up to " + integer(server.batch_max) + " within " +
                          seconds(server.batch_window_s));
  }
  Text times{"times", {one_line_or_dash(to_string(traffic.costs.source))}};
  if (!traffic.costs.basis.empty()) times.items.push_back(one_line(traffic.costs.basis));
  Section section{"service", true, {std::move(order), std::move(times)}};
  if (traffic.cache.bytes > 0) {
    Text cache{"cache",
               {bytes(traffic.cache.bytes), "pages of " + integer(traffic.cache.page_tokens) + " tokens",
                "policy " + one_line_or_dash(traffic.cache.policy)}};
    if (traffic.cache.ttl_s) cache.items.push_back("dropped after " + seconds(*traffic.cache.ttl_s));
    section.blocks.push_back(std::move(cache));
  }
  return section;
}

Chart latency_chart(const Traffic& traffic) {
  Chart chart{"share of requests answered within a time", "seconds", "share", {}, true, false};
  Chart::Series series{"requests", {}, false};
  for (const LatencyPoint& point : traffic.cdf) series.points.emplace_back(point.seconds, point.share);
  chart.series.push_back(std::move(series));
  return chart;
}

}  // namespace

Document traffic_document(const Report& report) {
  const Traffic& traffic = *report.traffic;
  Document document{sentence(traffic_answer(traffic)), traffic_holds(traffic) ? Emphasis::strong : Emphasis::bad, {}};
  Section first{"traffic", false, {}};
  if (const std::string crowded = over_cpus(traffic); !crowded.empty()) {
    first.blocks.push_back(Notice{Emphasis::warning, "", sentence(crowded), ""});
  }
  // How the log was read comes before what follows from it.
  for (const std::string& how : traffic.reading) first.blocks.push_back(Text{"log", {sentence(one_line(how))}});
  first.blocks.push_back(served(traffic));
  if (Text line = fleet(traffic); !line.items.empty()) first.blocks.push_back(std::move(line));
  // What was replayed has the latencies too, beside those simulated.
  const bool replayed = !traffic.replay.empty();
  if (Table table = replayed ? replay(traffic) : latencies(traffic); !table.rows.empty()) {
    first.blocks.push_back(std::move(table));
  }
  if (!traffic.cdf.empty()) first.blocks.push_back(latency_chart(traffic));
  document.sections.push_back(std::move(first));
  document.sections.push_back(service(traffic));
  if (replayed) add_table(document, "latency", true, latencies(traffic));
  add_table(document, "what the fleet does", true, figures(traffic));
  add_table(document, "the requests", true, workload(traffic));
  add_table(document, "hit rate by cache size", true, hit_rates(traffic));
  add_table(document, "the same fleet at other rates", true, capacity(traffic));
  if (!traffic.windows.empty()) add_table(document, "over time", true, windows(traffic));
  Section assumed{"assumptions", true, {}};
  for (const std::string& note : traffic.assumptions) assumed.blocks.push_back(Text{"assumed", {one_line(note)}});
  add_section(document, std::move(assumed));
  return document;
}

}  // namespace report
}  // namespace kvcast
