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
#include "traffic/summary.h"
#include "traffic/trace.h"

namespace kvcast::traffic {
namespace {

constexpr std::int64_t kSyntheticRequests = 1'000'000;
constexpr std::int64_t kMostUsers = 100'000'000;
constexpr double kMostScale = 1e6;

// Streams of random numbers.
enum Stream : std::uint64_t { kCopies, kCandidates, kHistory, kGaps, kUsers };

std::uint64_t seed_of(const WorkloadOptions& options, std::uint64_t replication) {
  return mix64(options.seed) + 0x9e3779b97f4a7c15ULL * replication;
}

bool same(const std::optional<Distribution>& a, const std::optional<Distribution>& b) {
  if (a.has_value() != b.has_value()) return false;
  return !a || (a->kind == b->kind && a->median == b->median && a->p99 == b->p99 && a->file == b->file);
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
  check(options.history_scale > 0 && options.history_scale <= kMostScale, "--history-scale",
        format_double(options.history_scale), "above 0, at most 1e6");
  if (!options.trace.empty()) {
    if (!options.arrivals.empty()) {
      throw ConfigError("--arrivals", "a trace has arrivals of its own", "leave out --arrivals or the trace");
    }
    if (options.history) {
      throw ConfigError("--history", "a trace has histories of its own",
                        "--history-scale makes them longer or shorter");
    }
    return;
  }
  if (!options.requests_per_s && options.arrivals.empty()) {
    throw ConfigError("--qps", "is missing: a synthetic workload has no rate of its own", "requests per second");
  }
  constexpr const char* kDistributions = "a whole number, lognormal:MEDIAN,P99 or file:TRACE.csv";
  if (!options.history) {
    throw ConfigError("--history", "is missing: a synthetic workload has no histories of its own", kDistributions);
  }
  if (!options.candidates) {
    throw ConfigError("--candidates", "is missing: a synthetic workload has no candidates of its own", kDistributions);
  }
  check(options.users >= 1 && options.users <= kMostUsers, "--users", std::to_string(options.users),
        "from 1 to 100000000");
  check(options.zipf >= 0 && options.zipf <= 10, "--zipf", format_double(options.zipf), "from 0 to 10");
  check(options.growth >= 0 && options.growth <= kMostScale, "--growth", format_double(options.growth),
        "from 0 to 1e6 tokens");
}

}  // namespace

struct Workload::Impl {
  WorkloadOptions options;
  std::optional<Trace> trace;  // or the arrivals
  std::optional<Copies> copies;
  std::optional<Sampler> history, candidates;
  std::optional<AliasTable> users;

  bool synthetic() const noexcept { return options.trace.empty(); }

  Impl(const WorkloadOptions& wanted, const Impl* known) : options(wanted) {
    check(options);
    const bool same_reading = known != nullptr && known->options.skip_bad_rows == options.skip_bad_rows;
    if (same_reading && known->options.trace == options.trace && known->options.arrivals == options.arrivals) {
      trace = known->trace;
    } else if (!synthetic()) {
      trace = index_trace(read_format(
          options.trace, {TraceColumn::timestamp, TraceColumn::user, TraceColumn::history, TraceColumn::candidates},
          options.skip_bad_rows, options.columns));
    } else if (!options.arrivals.empty()) {
      trace =
          index_trace(read_format(options.arrivals, {TraceColumn::timestamp}, options.skip_bad_rows, options.columns));
    }
    if (trace && options.requests_per_s) copies = copies_for(*trace, *options.requests_per_s);
    if (options.replace_candidates && !options.candidates) {
      throw ConfigError("--replace-candidates", "nothing says by what", "add --candidates 200");
    }
    if (!synthetic() && !options.candidates && trace->unrecorded > 0) {
      throw ConfigError(options.trace + ":" + std::to_string(trace->unrecorded_line),
                        "n_candidates is 0, which means not recorded",
                        "--candidates says how many there are: a whole number, lognormal:MEDIAN,P99 or file:TRACE.csv");
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

  std::int64_t most() const noexcept {
    return options.requests.value_or(trace ? std::numeric_limits<std::int64_t>::max() : kSyntheticRequests);
  }
};

namespace {

// Times of a CopyReader, from its first row on.
class CopiedRows {
 public:
  CopiedRows(const Trace& trace, const std::optional<Copies>& copies, CopyReader::Keep keep, std::uint64_t seed)
      : reader_(trace, copies.value_or(Copies{}), keep, RandomStream(seed, kCopies).bits(0)) {}

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
  TraceSource(const Trace& trace, const std::optional<Copies>& copies, const Sampler* candidates,
              const WorkloadOptions& options, std::int64_t most, std::uint64_t seed)
      : rows_(trace, copies, CopyReader::Keep::users, seed),
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

  void take_times_of(const Trace& trace, const std::optional<Copies>& copies, std::uint64_t seed) {
    times_.emplace(trace, copies, CopyReader::Keep::rows, seed);
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

// How the rate asked for was made.
std::string rate_text(const Trace& trace, const Copies& copies, double asked, double achieved, const char* what) {
  std::string how;
  if (copies.whole == 0) {
    how = text(100 * copies.part) + "% of the " + what + " of " + trace.format.file;
  } else if (copies.whole == 1 && copies.part == 0) {
    how = trace.format.file + " as it is";
  } else {
    how = copies.whole == 1 ? "one copy" : std::to_string(copies.whole) + " copies";
    how += " of " + trace.format.file;
    if (copies.part > 0) how += " and " + text(100 * copies.part) + "% of the " + std::string(what) + " of one more";
    how += ", shifted in time";
  }
  return "rate: " + how + ": " + text(achieved) + " requests/s where " + text(asked) +
         " were asked for and the file has " + text(trace.requests_per_s());
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
    return std::make_unique<TraceSource>(*w.trace, w.copies, w.candidates ? &*w.candidates : nullptr, w.options,
                                         w.most(), seed);
  }
  auto source = std::make_unique<SyntheticSource>(w.options, *w.history, *w.candidates, *w.users, w.most(), seed);
  if (w.trace) source->take_times_of(*w.trace, w.copies, seed);
  return source;
}

WorkloadSummary Workload::summary() const {
  const Impl& w = *impl_;
  WorkloadSummary summary;
  Histogram histories, candidates, gaps_ns;
  UserCounts users;
  double last_s = 0;
  std::vector<Request> block(4096);
  const std::unique_ptr<RequestSource> source = requests(0);
  for (std::size_t filled = block.size(); filled == block.size();) {
    filled = source->next(block);
    for (std::size_t i = 0; i < filled; ++i) {
      const Request& request = block[i];
      histories.add(request.history);
      candidates.add(request.candidates);
      users.add(request.user);
      // Gaps of more than 292 years are as good as that.
      if (summary.requests++ > 0) {
        gaps_ns.add(static_cast<std::int64_t>(std::min((request.arrival_s - last_s) * 1e9, 9.2e18)));
      }
      last_s = request.arrival_s;
    }
  }
  const WorkloadOptions& options = w.options;
  if (summary.requests == 0) {
    throw ConfigError(
        "--qps", format_double(options.requests_per_s.value_or(0)) + "/s leaves no request of " + w.trace->format.file,
        "nearer to the rate of the file, " + text(w.trace->requests_per_s()) + "/s");
  }
  summary.users = users.users();
  summary.duration_s = last_s;
  summary.requests_per_s = last_s > 0 ? static_cast<double>(summary.requests - 1) / last_s : 0;
  summary.columns = {histories.column("history_length", "tokens", 1), candidates.column("candidates", "candidates", 1),
                     gaps_ns.column("gap_s", "s", 1e-9),
                     users.requests_per_user().column("requests_per_user", "requests", 1)};

  std::vector<std::string>& said = summary.assumptions;
  if (w.trace) summary.skipped_rows = w.trace->skipped_rows;
  if (summary.skipped_rows > 0) {
    said.push_back(plural(summary.skipped_rows, "bad row") + " of " + w.trace->format.file + " left out");
  }
  if (w.trace) {
    const TraceFormat& format = w.trace->format;
    const std::string taken = taken_for(format.heading, format.numbers, w.trace->comment_lines);
    if (!taken.empty()) said.push_back(format.file + ": read with " + taken);
  }
  if (!w.synthetic()) {
    if (w.trace->unrecorded > 0) {
      said.push_back("candidates: not recorded in " + std::to_string(w.trace->unrecorded) + " of " +
                     plural(w.trace->rows, "row") + ", there " + w.candidates->text());
    }
    if (options.history_scale != 1) {
      said.push_back("histories: those of the trace times " + format_double(options.history_scale) + ", rounded");
    }
    if (w.copies) {
      said.push_back(rate_text(*w.trace, *w.copies, *options.requests_per_s, summary.requests_per_s, "users"));
      if (w.copies->whole + (w.copies->part > 0 ? 1 : 0) > 1) {
        said.push_back("copies: each has users of its own; a user on both sides of where a copy begins counts as two");
      }
    }
  } else {
    said.push_back(w.trace ? "arrivals: the times of " + w.trace->format.file
                           : "arrivals: Poisson, " + format_double(*options.requests_per_s) + " requests/s");
    if (w.copies) {
      said.push_back(rate_text(*w.trace, *w.copies, *options.requests_per_s, summary.requests_per_s, "rows"));
    }
    said.push_back("users: drawn independently of each other and of the time, user k of " +
                   std::to_string(options.users) + " in proportion to 1/k^" + format_double(options.zipf));
    said.push_back("histories: of a user's first request " + w.history->text() + ", then " +
                   format_double(options.growth) + " tokens more at each");
    said.push_back("candidates: " + w.candidates->text());
  }
  if (options.max_history > 0 && static_cast<double>(options.max_history) < static_cast<double>(histories.max())) {
    said.push_back("histories: cut to their newest " + std::to_string(options.max_history) + " tokens");
  }
  if (!users.exact()) {
    said.push_back("users: estimated, and requests per user taken, from a random sample of " +
                   std::to_string(users.kept()) + " users");
  }
  return summary;
}

void write_trace(RequestSource& requests, const std::function<void(std::string_view)>& sink) {
  std::string text = "timestamp_ms,user_id,history_len,n_candidates\n";
  std::vector<Request> block(1024);
  for (std::size_t filled = block.size(); filled == block.size();) {
    filled = requests.next(block);
    for (std::size_t i = 0; i < filled; ++i) {
      const Request& request = block[i];
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
  }
}

}  // namespace kvcast::traffic
