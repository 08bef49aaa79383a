#include "traffic_arguments.h"

#include <fmt/format.h>

namespace kvcast::cli {

namespace {

/// N has one name in both; the times tell them apart.
bool of_timings(const std::string& map) {
  const std::string padded = "," + map;
  return padded.find(",naive=") != std::string::npos || padded.find(",shared=") != std::string::npos;
}

}  // namespace

void TrafficArguments::attach(CLI::App& app, bool timings) {
  timings_ = timings;
  app.set_help_all_flag("--help-all", "Print all options and exit");
  const auto add = [&](const char* flag, auto& value, const char* type, const char* doc) {
    return app.add_option(flag, value, doc)->type_name(type);
  };
  const auto more = [&](const char* flag, auto& value, const char* type, const char* doc) {
    add(flag, value, type, doc)->group(kMoreOptions);
  };
  add("--trace", workload_.trace, "FILE", "CSV: timestamp_ms,user_id,history_len,n_candidates; - = stdin [none]");
  add("--qps", qps_, "RATE", "Target rate: 200, 12000/min; a trace is scaled by adding users");
  more("--requests", requests_, "N", "At most this many requests [trace: once through; else 1000000]");
  add("--candidates", candidates_, "DIST", "N, where a trace has none: 200, lognormal:200,900, file:TRACE");
  app.add_flag("--replace-candidates", workload_.replace_candidates,
               "Override the candidates of the trace with --candidates")
      ->group(kMoreOptions);
  add("--history", history_, "DIST", "Synthetic: L of a user's first request; same forms as --candidates");
  more("--growth", growth_, "N", "Synthetic: tokens a history gains between two requests [1]");
  more("--users", workload_.users, "N", "Synthetic: number of users [100000]");
  more("--zipf", zipf_, "S", "Synthetic: user k sends requests in proportion to 1/k^S [1]");
  more("--arrivals", workload_.arrivals, "FILE", "Synthetic: take the timestamps of this trace [Poisson]");
  more("--history-scale", history_scale_, "X", "Multiply the histories of the trace by this [1]");
  add("--max-history", workload_.max_history, "N", "Cut longer histories to their newest tokens [no limit]");
  app.add_option("--columns", columns_,
                 timings ? "Columns of traces: timestamp=ts,user=uid,..; of PATH: candidates=n,.."
                         : "Columns of traces: timestamp=ts,user=uid,history=len,candidates=n")
      ->type_name("MAP")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group(kMoreOptions);
  more("--timestamps", workload_.timestamps, "UNIT",
       "Unit in the trace: s, ms, us, ns [by size and name of the column]");
  more("--spread-timestamps", workload_.spread, "HOW",
       "Spread whole-second timestamps: random, even, none [refuse them]");
  app.add_flag("--skip-bad-rows{5%}", skip_bad_rows_, "Skip bad rows of a trace, up to 5%; =20%: up to 20%")
      ->group(kMoreOptions);
  add("--cache", cache_bytes_, "BYTES", "Memory for KV caches kept between requests: 8GiB [none]");
  more("--page", cache_.page_tokens, "N", "Page size in tokens; a cached history takes whole pages [16]");
  const std::string policies = fmt::format("Eviction policy of the cache: {} [lru]", fmt::join(cache_policies(), ", "));
  more("--policy", cache_.policy, "NAME", policies.c_str());
  more("--ttl", ttl_, "TIME", "Drop a history not requested for this long [never]");
  add("--p99", p99_, "TIME", "P99 latency budget, queueing included, e.g. 50ms");
  more("--warm-up", warm_up_, "X", "Share of the requests served first and not counted [0.1]");
  more("--seed", seed_, "N", "Random seed [1]");
}

WorkloadOptions TrafficArguments::workload() const {
  WorkloadOptions options = workload_;
  if (seed_ < 0) throw ConfigError("--seed", "'" + std::to_string(seed_) + "' is too small", "at least 0");
  if (options.max_history < 0) {
    throw ConfigError("--max-history", "'" + std::to_string(options.max_history) + "' is too small",
                      "0 or more tokens");
  }
  options.seed = static_cast<std::uint64_t>(seed_);
  options.requests = requests_;
  if (!skip_bad_rows_.empty()) options.skip_bad_rows = parse_fraction(skip_bad_rows_, "--skip-bad-rows");
  if (qps_) options.requests_per_s = parse_rate(*qps_, "--qps");
  if (history_) options.history = parse_distribution(*history_, "--history");
  if (candidates_) options.candidates = parse_distribution(*candidates_, "--candidates");
  for (const std::string& map : columns_) {
    if (timings_ && of_timings(map)) continue;
    if (!options.columns.empty()) throw ConfigError("--columns", "traces are given twice", "one list for all traces");
    options.columns = parse_columns(map, kTraceRoles, "--columns");
    const auto reads = [](const std::optional<Distribution>& drawn) { return drawn && drawn->kind == "empirical"; };
    if (options.trace.empty() && options.arrivals.empty() && !reads(options.history) && !reads(options.candidates)) {
      throw ConfigError("--columns", "no trace is read", "with --trace, --arrivals or file:TRACE");
    }
  }
  options.history_scale = parse_number(history_scale_, "--history-scale");
  options.zipf = parse_number(zipf_, "--zipf");
  options.growth = parse_number(growth_, "--growth");
  return options;
}

UserCacheOptions TrafficArguments::cache() const {
  UserCacheOptions options = cache_;
  if (cache_bytes_) options.bytes = parse_size(*cache_bytes_, "--cache");
  if (ttl_) options.ttl_s = parse_seconds(*ttl_, "--ttl");
  return options;
}

std::optional<double> TrafficArguments::p99_s() const {
  return p99_ ? std::optional(parse_seconds(*p99_, "--p99")) : std::nullopt;
}

ColumnNames TrafficArguments::timing_columns() const {
  ColumnNames columns;
  for (const std::string& map : columns_) {
    if (!of_timings(map)) continue;
    if (!columns.empty()) throw ConfigError("--columns", "timings are given twice", "one list");
    columns = parse_columns(map, kTimingRoles, "--columns");
  }
  return columns;
}

double TrafficArguments::warm_up() const { return parse_fraction(warm_up_, "--warm-up"); }

}  // namespace kvcast::cli
