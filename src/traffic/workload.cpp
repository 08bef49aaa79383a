#include "traffic/workload.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "base/random.h"
#include "base/text.h"
#include "kvcast/error.h"
#include "traffic/copies.h"
#include "traffic/distribution.h"
#include "traffic/log.h"
#include "traffic/summary.h"
#include "traffic/trace.h"

namespace kvcast::traffic {
namespace {

constexpr std::int64_t kSyntheticRequests = 1'000'000;
constexpr std::int64_t kMaxUsers = 100'000'000;
constexpr double kMaxScale = 1e6;

// Streams of random numbers.
enum Stream : std::uint64_t { kCopies, kCandidates, kHistory, kGaps, kUsers };

std::uint64_t seed_of(const WorkloadOptions& options, std::uint64_t replication) {
  return mix64(options.seed) + 0x9e3779b97f4a7c15ULL * replication;
}

bool same(const std::optional<Distribution>& a, const std::optional<Distribution>& b) {
  if (a.has_value() != b.has_value()) return false;
  return !a || (a->kind == b->kind && a->median == b->median && a->p99 == b->p99 && a->file == b->file);
}

constexpr std::pair<const char*, Spread> kSpreads[] = {
    {"random", Spread::random}, {"even", Spread::even}, {"none", Spread::none}};

std::optional<Spread> parse_spread(const std::string& name) {
  if (name.empty()) return Spread::ask;
  for (const auto& [known, spread] : kSpreads) {
    if (name == known) return spread;
  }
  return std::nullopt;
}

// Whether a file is read alike.
bool same_reading_of(const WorkloadOptions& a, const WorkloadOptions& b) {
  return a.skip_bad_rows == b.skip_bad_rows && a.timestamps == b.timestamps && a.spread == b.spread && a.seed == b.seed;
}

std::string text(double value) { return format_significant(value, 6); }

void check(bool fine, const char* flag, const std::string& value, const char* allowed) {
  if (!fine) throw ConfigError(flag, "'" + value + "' is out of range", allowed);
}

void check(const WorkloadOptions& options) {
  if (options.requests_per_s) {
    const double rate = *options.requests_per_s;
    check(rate > 0 && rate <= 1e9, "--qps", format_double(rate), "above 0, at most 1e9 requests per second");
  }
  if (options.requests) {
    check(*options.requests >= 1, "--requests", std::to_string(*options.requests), "at least 1");
  }
  if (options.skip_bad_rows) {
    const double share = *options.skip_bad_rows;
    check(share >= 0 && share <= 1, "--skip-bad-rows", format_significant(100 * share, 4) + "%", "from 0% to 100%");
  }
  if (!options.timestamps.empty() && !parse_stamp_unit(options.timestamps)) {
    throw ConfigError("--timestamps", in_quotes(options.timestamps) + " is not a unit", "s, ms, us or ns");
  }
  if (!parse_spread(options.spread)) {
    throw ConfigError("--spread-timestamps", in_quotes(options.spread) + " is unknown", "random, even or none");
  }
  check(options.history_scale > 0 && options.history_scale <= kMaxScale, "--history-scale",
        format_double(options.history_scale), "above 0, at most 1e6");
  if (!options.trace.empty()) {
    if (!options.arrivals.empty()) {
      throw ConfigError("--arrivals", "a trace has its own arrivals", "leave out --arrivals or the trace");
    }
    if (options.history) {
      throw ConfigError("--history", "a trace has its own histories", "--history-scale makes them longer or shorter");
    }
    return;
  }
  if (!options.requests_per_s && options.arrivals.empty()) {
    throw ConfigError("--qps", "is missing: a synthetic workload needs a rate", "requests per second");
  }
  constexpr const char* kDistributions = "a whole number, lognormal:MEDIAN,P99 or file:TRACE.csv";
  if (!options.history) {
    throw ConfigError("--history", "is missing: a synthetic workload needs history lengths", kDistributions);
  }
  if (!options.candidates) {
    throw ConfigError("--candidates", "is missing: a synthetic workload needs candidates", kDistributions);
  }
  check(options.users >= 1 && options.users <= kMaxUsers, "--users", std::to_string(options.users),
        "from 1 to 100000000");
  check(options.zipf >= 0 && options.zipf <= 10, "--zipf", format_double(options.zipf), "from 0 to 10");
  check(options.growth >= 0 && options.growth <= kMaxScale, "--growth", format_double(options.growth),
        "from 0 to 1e6 tokens");
}

}  // namespace

struct Workload::Impl {
  WorkloadOptions options;
  std::shared_ptr<const Log> log;  // of the trace, or of the arrivals
  std::optional<Copies> copies;
  std::optional<Sampler> history, candidates;
  std::optional<AliasTable> users;

  bool synthetic() const noexcept { return options.trace.empty(); }
  /// What the log does not tell and the options do.
  std::vector<std::string> assumptions(const WorkloadSummary& summary) const;

  Impl(const WorkloadOptions& wanted, const Impl* known) : options(wanted) {
    check(options);
    const bool same_reading = known != nullptr && same_reading_of(known->options, options);
    if (same_reading && known->options.trace == options.trace && known->options.arrivals == options.arrivals) {
      log = known->log;
    } else if (!synthetic()) {
      log = read(options.trace,
                 {TraceColumn::timestamp, TraceColumn::user, TraceColumn::history, TraceColumn::candidates});
    } else if (!options.arrivals.empty()) {
      log = read(options.arrivals, {TraceColumn::timestamp});
    }
    if (log && options.requests_per_s) copies = copies_for(*log, *options.requests_per_s);
    if (options.replace_candidates && !options.candidates) {
      throw ConfigError("--replace-candidates", "the replacement is missing", "add --candidates 200");
    }
    if (!synthetic() && !options.candidates && log->unrecorded() > 0) {
      throw ConfigError(options.trace + ":" + std::to_string(log->unrecorded_line()),
                        "n_candidates is 0, which means not recorded",
                        "give them with --candidates: a whole number, lognormal:MEDIAN,P99 or file:TRACE.csv");
    }
    if (options.candidates) {
      if (same_reading && same(known->options.candidates, options.candidates)) {
        candidates = known->candidates;
      } else {
        candidates.emplace(*options.candidates, "n_candidates", 1, options.skip_bad_rows, "--candidates",
                           options.columns);
      }
    }
    if (!synthetic()) return;
    if (same_reading && same(known->options.history, options.history)) {
      history = known->history;
    } else {
      history.emplace(*options.history, "history_len", 0, options.skip_bad_rows, "--history", options.columns);
    }
    if (known != nullptr && known->users && known->options.users == options.users &&
        known->options.zipf == options.zipf) {
      users = known->users;
    } else {
      users.emplace(zipf_weights(options.users, options.zipf));
    }
  }

  std::shared_ptr<const Log> read(const std::string& file, const std::vector<TraceColumn>& columns) const {
    LogOptions how;
    if (!options.timestamps.empty()) how.unit = parse_stamp_unit(options.timestamps);
    how.spread = *parse_spread(options.spread);
    how.seed = options.seed;
    return std::make_shared<const Log>(
        read_log(read_format(file, columns, options.skip_bad_rows, options.columns), how));
  }

  /// Requests at most. A log once: but of thousands of copies of one the first show what all do.
  std::int64_t most() const noexcept {
    if (options.requests) return *options.requests;
    if (!log) return kSyntheticRequests;
    return copies && copies->whole > 1 ? std::max(kSyntheticRequests, log->size())
                                       : std::numeric_limits<std::int64_t>::max();
  }
  /// Requests of the log, or of its copies, in a replication.
  std::int64_t of_log(std::uint64_t seed) const {
    if (!copies) return log->size();
    const CopyReader::Keep keep = synthetic() ? CopyReader::Keep::rows : CopyReader::Keep::users;
    return CopyReader(*log, *copies, keep, RandomStream(seed, kCopies).bits(0)).count();
  }
};

namespace {

// Times of a CopyReader, from its first row on.
class CopiedRows {
 public:
  CopiedRows(const Log& log, const std::optional<Copies>& copies, CopyReader::Keep keep, std::uint64_t seed)
      : reader_(log, copies.value_or(Copies{}), keep, RandomStream(seed, kCopies).bits(0)) {}

  bool next(CopiedRow& row) {
    if (!reader_.next(row)) return false;
    if (!started_) start_s_ = row.arrival_s;
    started_ = true;
    row.arrival_s -= start_s_;
    return true;
  }

 private:
  CopyReader reader_;
  bool started_ = false;
  double start_s_ = 0;
};

class TraceSource : public RequestSource {
 public:
  TraceSource(const Log& log, const std::optional<Copies>& copies, const Sampler* candidates,
              const WorkloadOptions& options, std::int64_t most, std::uint64_t seed)
      : rows_(log, copies, CopyReader::Keep::users, seed),
        candidates_(candidates),
        replace_(options.replace_candidates),
        scale_(options.history_scale),
        left_(most),
        fill_(seed, kCandidates) {}

  std::size_t next(std::span<Request> block) override {
    CopiedRow row;
    std::size_t filled = 0;
    for (; filled < block.size() && left_ > 0 && rows_.next(row); ++filled, --left_) {
      const std::int64_t history = scale_ == 1 ? row.history : std::llround(static_cast<double>(row.history) * scale_);
      // By row and copy, so that another rate leaves the numbers of the rows that stay.
      const bool recorded = row.candidates > 0 && !replace_;
      const std::int64_t candidates = recorded ? row.candidates : (*candidates_)(fill_.bits(row.id));
      block[filled] = {row.arrival_s, row.user, history, candidates};
    }
    return filled;
  }

 private:
  CopiedRows rows_;
  const Sampler* candidates_;
  bool replace_;
  double scale_;
  std::int64_t left_;
  RandomStream fill_;
};

class SyntheticSource : public RequestSource {
 public:
  SyntheticSource(const WorkloadOptions& options, const Sampler& history, const Sampler& candidates,
                  const AliasTable& users, std::int64_t most, std::uint64_t seed)
      : history_(history),
        candidates_(candidates),
        users_(users),
        growth_(options.growth),
        left_(most),
        mean_gap_s_(options.requests_per_s ? 1 / *options.requests_per_s : 0),
        gaps_(seed, kGaps),
        user_draws_(seed, kUsers),
        history_draws_(seed, kHistory),
        candidate_draws_(seed, kCandidates),
        asked_(static_cast<std::size_t>(options.users)) {}

  void take_times_of(const Log& log, const std::optional<Copies>& copies, std::uint64_t seed) {
    times_.emplace(log, copies, CopyReader::Keep::rows, seed);
  }

  std::size_t next(std::span<Request> block) override {
    std::size_t filled = 0;
    for (; filled < block.size() && left_ > 0; ++filled, --left_, ++drawn_) {
      if (times_) {
        CopiedRow row;
        if (!times_->next(row)) break;
        now_s_ = row.arrival_s;
      } else if (drawn_ > 0) {
        now_s_ -= mean_gap_s_ * std::log(open_unit(gaps_.bits(drawn_)));
      }
      const std::uint32_t user = users_(user_draws_.bits(drawn_));
      // The first length is a function of the user, so that only the count is kept.
      const std::int64_t grown = static_cast<std::int64_t>(growth_ * asked_[user]++ + 0.5);
      block[filled] = {now_s_, user, history_(history_draws_.bits(user)) + grown,
                       candidates_(candidate_draws_.bits(drawn_))};
    }
    return filled;
  }

 private:
  const Sampler &history_, &candidates_;
  const AliasTable& users_;
  double growth_;
  std::int64_t left_;
  double mean_gap_s_, now_s_ = 0;
  std::uint64_t drawn_ = 0;
  RandomStream gaps_, user_draws_, history_draws_, candidate_draws_;
  std::vector<std::uint32_t> asked_;  // requests of each user so far
  std::optional<CopiedRows> times_;
};

std::string plural(std::int64_t n, const std::string& noun) {
  return std::to_string(n) + " " + noun + (n == 1 ? "" : "s");
}

// How copies reach the target rate.
std::string rate_text(const Log& log, const Copies& copies, double asked, double achieved, const char* what) {
  std::string how;
  if (copies.whole == 0) {
    how = text(100 * copies.part) + "% of the " + what + " of " + log.file();
  } else if (copies.whole == 1 && copies.part == 0) {
    how = log.file() + " as it is";
  } else {
    how = copies.whole == 1 ? "one copy" : std::to_string(copies.whole) + " copies";
    how += " of " + log.file();
    if (copies.part > 0) how += " and " + text(100 * copies.part) + "% of the " + std::string(what) + " of one more";
    how += ", shifted in time";
  }
  return "rate: " + how + ": " + text(achieved) + " requests/s; target " + text(asked) + ", the file has " +
         text(log.requests_per_s());
}

}  // namespace

Workload::Workload(const WorkloadOptions& options) : impl_(std::make_unique<Impl>(options, nullptr)) {}
Workload::Workload(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Workload::Workload(Workload&&) noexcept = default;
Workload& Workload::operator=(Workload&&) noexcept = default;
Workload::~Workload() = default;

Workload Workload::with(const WorkloadOptions& options) const {
  return Workload(std::make_unique<Impl>(options, impl_.get()));
}

std::unique_ptr<RequestSource> Workload::requests(std::uint64_t replication) const {
  const Impl& w = *impl_;
  const std::uint64_t seed = seed_of(w.options, replication);
  if (!w.synthetic()) {
    return std::make_unique<TraceSource>(*w.log, w.copies, w.candidates ? &*w.candidates : nullptr, w.options, w.most(),
                                         seed);
  }
  auto source = std::make_unique<SyntheticSource>(w.options, *w.history, *w.candidates, *w.users, w.most(), seed);
  if (w.log) source->take_times_of(*w.log, w.copies, seed);
  return source;
}

std::int64_t Workload::count() const {
  const Impl& w = *impl_;
  return w.log ? std::min(w.most(), w.of_log(seed_of(w.options, 0))) : w.most();
}

std::vector<std::string> Workload::Impl::assumptions(const WorkloadSummary& summary) const {
  std::vector<std::string> said;
  const auto say_cut = [&] {
    const std::int64_t all = of_log(seed_of(options, 0));
    if (options.requests || all <= summary.requests) return;
    said.push_back("requests: the first " + std::to_string(summary.requests) + " of " + std::to_string(all) +
                   " of these copies; raise --requests for more");
  };
  if (!synthetic()) {
    if (log->unrecorded() > 0) {
      said.push_back("candidates: not recorded in " + std::to_string(log->unrecorded()) + " of " +
                     plural(log->size(), "row") + "; these get " + candidates->text());
    }
    if (options.history_scale != 1) {
      said.push_back("histories: those of the trace times " + format_double(options.history_scale) + ", rounded");
    }
    if (copies) {
      said.push_back(rate_text(*log, *copies, *options.requests_per_s, summary.requests_per_s, "users"));
      say_cut();
      if (copies->whole + (copies->part > 0 ? 1 : 0) > 1) {
        said.push_back("copies: each has its own users; a user on both sides of the start of a copy counts as two");
      }
    }
  } else {
    said.push_back(log ? "arrivals: the times of " + log->file()
                       : "arrivals: Poisson, " + format_double(*options.requests_per_s) + " requests/s");
    if (copies) {
      said.push_back(rate_text(*log, *copies, *options.requests_per_s, summary.requests_per_s, "rows"));
      say_cut();
    }
    said.push_back("users: drawn independently of each other and of time, user k of " + std::to_string(options.users) +
                   " in proportion to 1/k^" + format_double(options.zipf));
    said.push_back("histories: of a user's first request " + history->text() + ", then " +
                   format_double(options.growth) + " tokens more at each");
    said.push_back("candidates: " + candidates->text());
  }
  return said;
}

WorkloadSummary Workload::summary() const {
  const Impl& w = *impl_;
  WorkloadSummary summary;
  ValueHistogram histories, candidates, gaps_ns;
  UserCounts users;
  double last_s = 0;
  for_each_block(*requests(0), [&](std::span<const Request> block) {
    for (const Request& request : block) {
      histories.add(request.history);
      candidates.add(request.candidates);
      users.add(request.user);
      // Gaps of more than 292 years are as good as that.
      if (summary.requests++ > 0) {
        gaps_ns.add(static_cast<std::int64_t>(std::min((request.arrival_s - last_s) * 1e9, 9.2e18)));
      }
      last_s = request.arrival_s;
    }
  });
  const WorkloadOptions& options = w.options;
  if (summary.requests == 0) {
    throw ConfigError("--qps",
                      format_double(options.requests_per_s.value_or(0)) + "/s leaves no request of " + w.log->file(),
                      "a rate closer to that of the file, " + text(w.log->requests_per_s()) + "/s");
  }
  summary.users = users.users();
  summary.duration_s = last_s;
  summary.requests_per_s = last_s > 0 ? static_cast<double>(summary.requests - 1) / last_s : 0;
  summary.columns = {histories.column("history_length", "tokens", 1), candidates.column("candidates", "candidates", 1),
                     gaps_ns.column("gap_s", "s", 1e-9),
                     users.requests_per_user().column("requests_per_user", "requests", 1)};

  if (w.log) {
    summary.log_file = w.log->file();
    summary.skipped_rows = w.log->skipped_rows();
    summary.log_rows = w.log->size() + summary.skipped_rows;
    summary.ticks = w.log->ticks();
    summary.reading = w.log->reading();
    if (options.spread == "none" && !summary.ticks.text.empty()) {
      summary.reading.push_back("rows with the same timestamp arrive together (--spread-timestamps none)");
    }
  }
  summary.assumptions = w.assumptions(summary);
  std::vector<std::string>& said = summary.assumptions;
  if (options.max_history > 0 && static_cast<double>(options.max_history) < static_cast<double>(histories.max())) {
    said.push_back("histories: cut to their newest " + std::to_string(options.max_history) + " tokens");
  }
  if (!users.exact()) {
    said.push_back("users and requests per user: estimated from a random sample of " + std::to_string(users.kept()) +
                   " users");
  }
  return summary;
}

void write_trace(RequestSource& requests, const std::function<void(std::string_view)>& sink) {
  std::string text = "timestamp_ms,user_id,history_len,n_candidates\n";
  for_each_block(requests, [&](std::span<const Request> block) {
    for (const Request& request : block) {
      char number[32];
      const auto put = [&](auto value, char behind) {
        text.append(number, std::to_chars(number, number + sizeof number, value).ptr);
        text += behind;
      };
      // To the nanosecond, and never in the form 1e-05.
      text.append(
          number,
          std::to_chars(number, number + sizeof number, request.arrival_s * 1000, std::chars_format::fixed, 6).ptr);
      text += ',';
      put(request.user, ',');
      put(request.history, ',');
      put(request.candidates, '\n');
    }
    sink(text);
    text.clear();
  });
}

}  // namespace kvcast::traffic

std::vector<std::string> kvcast::timestamp_spreads() {
  std::vector<std::string> names;
  for (const auto& spread : traffic::kSpreads) names.emplace_back(spread.first);
  return names;
}
