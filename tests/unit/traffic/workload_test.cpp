#include "traffic/workload.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "catch.h"
#include "kvcast/error.h"
#include "unit/files.h"

namespace kvcast::traffic {
namespace {

using testing::TemporaryFolder;
using testing::write_file;

std::vector<Request> all(const Workload& workload, std::uint64_t replication = 0, std::size_t block_size = 1000) {
  const auto source = workload.requests(replication);
  std::vector<Request> requests, block(block_size);
  for (;;) {
    const std::size_t filled = source->next(block);
    requests.insert(requests.end(), block.begin(), block.begin() + static_cast<std::ptrdiff_t>(filled));
    if (filled < block.size()) return requests;
  }
}

bool equal(const std::vector<Request>& a, const std::vector<Request>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Request& x, const Request& y) {
    return x.arrival_s == y.arrival_s && x.user == y.user && x.history == y.history && x.candidates == y.candidates;
  });
}

WorkloadOptions synthetic() {
  WorkloadOptions options;
  options.requests_per_s = 50;
  options.history = parse_distribution("lognormal:200,900", "--history");
  options.candidates = parse_distribution("lognormal:50,300", "--candidates");
  options.users = 1000;
  options.requests = 20000;
  return options;
}

struct LogFile {
  explicit LogFile(const std::string& rows) : path((folder.path() / "t.csv").string()) {
    write_file(path, "timestamp_ms,user_id,history_len,n_candidates\n" + rows);
  }
  WorkloadOptions options() const {
    WorkloadOptions options;
    options.trace = path;
    return options;
  }
  TemporaryFolder folder;
  std::string path;
};

bool says(const WorkloadSummary& summary, const std::string& text) {
  return std::any_of(summary.assumptions.begin(), summary.assumptions.end(),
                     [&](const std::string& said) { return said.find(text) != std::string::npos; });
}

}  // namespace

TEST_CASE("a trace without a rate is the trace", "[traffic]") {
  const LogFile log("5000,7,10,3\n5500,8,21,4\n7000,7,11,5\n");
  const Workload workload(log.options());
  for (const std::uint64_t replication : {0u, 1u}) {
    CHECK(equal(all(workload, replication), {{0, 7, 10, 3}, {0.5, 8, 21, 4}, {2, 7, 11, 5}}));
  }
  const WorkloadSummary summary = workload.summary();
  CHECK(summary.requests == 3);
  CHECK(summary.users == 2);
  CHECK(summary.duration_s == 2);
  CHECK(summary.requests_per_s == 1);
  CHECK(summary.assumptions.empty());
  REQUIRE(summary.columns.size() == 4);
  CHECK(summary.columns[0].name == "history_length");
  CHECK(summary.columns[0].mean == 14);
  CHECK(summary.columns[0].p50 == 11);
  CHECK(summary.columns[0].max == 21);
  CHECK(summary.columns[1].p50 == 4);
  CHECK(summary.columns[2].mean == 1);
  CHECK(summary.columns[2].max == 1.5);
  CHECK(summary.columns[3].mean == 1.5);
  CHECK(summary.columns[3].max == 2);

  WorkloadOptions options = log.options();
  options.requests = 2;
  options.history_scale = 1.25;
  options.max_history = 20;
  const Workload scaled = workload.with(options);
  CHECK(equal(all(scaled), {{0, 7, 13, 3}, {0.5, 8, 26, 4}}));
  CHECK(says(scaled.summary(), "histories: those of the trace times 1.25, rounded"));
  CHECK(says(scaled.summary(), "histories: cut to their newest 20 tokens"));
}

TEST_CASE("candidates that a trace does not record are asked for, and drawn", "[traffic]") {
  const LogFile log("1,1,10,3\n2,2,10,0\n3,3,10,0\n");
  CHECK_THROWS_WITH(Workload(log.options()), Catch::StartsWith(log.path + ":3: n_candidates is 0, which means not "
                                                                          "recorded; give them with --candidates"));
  WorkloadOptions options = log.options();
  options.candidates = parse_distribution("40", "--candidates");
  const Workload filled(options);
  CHECK(equal(all(filled), {{0, 1, 10, 3}, {0.001, 2, 10, 40}, {0.002, 3, 10, 40}}));
  CHECK(says(filled.summary(), "candidates: not recorded in 2 of 3 rows; these get 40"));
  CHECK_THROWS_AS(filled.with(log.options()), ConfigError);
  // A row's number does not depend on how many copies there are.
  options.candidates = parse_distribution("lognormal:1000,9000", "--candidates");
  const std::vector<Request> once = all(filled.with(options));
  options.requests_per_s = 3000;
  std::vector<Request> twice = all(filled.with(options));
  for (const Request& request : once) {
    CHECK(std::any_of(twice.begin(), twice.end(), [&](const Request& other) {
      return other.user == request.user && other.candidates == request.candidates;
    }));
  }
  CHECK(all(filled.with(options), 1)[1].candidates != all(filled.with(options), 0)[1].candidates);
}

TEST_CASE("bad rows are refused, or left out and counted", "[traffic]") {
  const LogFile log("1,1,10,3\n2,2,x,1\n3,3,10,1\n");
  CHECK_THROWS_WITH(Workload(log.options()), Catch::StartsWith(log.path + ":3: history_len 'x' is not a whole number"));
  WorkloadOptions options = log.options();
  options.skip_bad_rows = 0.5;
  const Workload workload(options);
  CHECK(equal(all(workload), {{0, 1, 10, 3}, {0.002, 3, 10, 1}}));
  CHECK(workload.summary().skipped_rows == 1);
  CHECK(workload.summary().log_rows == 3);
  options.skip_bad_rows = 0.3;
  CHECK_THROWS_WITH(Workload(options), Catch::StartsWith("--skip-bad-rows: 1 of 3 rows of " + log.path + " are bad"));
}

TEST_CASE("a trace at another rate has other users, and says what it has", "[traffic]") {
  // 100 users, each every 100 s, for 1000 s: 1 request/s.
  std::string rows;
  for (int i = 0; i < 1000; ++i) {
    rows += std::to_string(1000 * i) + "," + std::to_string(i % 100) + "," + std::to_string(i / 100) + ",1\n";
  }
  const LogFile log(rows);
  const Workload once(log.options());
  for (const double rate : {0.5, 1.0, 2.5, 40.0}) {
    WorkloadOptions options = log.options();
    options.requests_per_s = rate;
    const Workload workload = once.with(options);
    const WorkloadSummary summary = workload.summary();
    CHECK(workload.count() == summary.requests);
    // Users of 10 requests each are kept whole: a binomial number of 100.
    const double part = rate - std::floor(rate);
    CHECK(std::fabs(static_cast<double>(summary.requests) - 1000 * rate) <= 50 * std::sqrt(100 * part * (1 - part)));
    CHECK(summary.requests_per_s == Approx(static_cast<double>(summary.requests) / 1000).epsilon(0.02));
    CHECK(says(summary, "target " + std::to_string(rate).substr(0, rate < 10 ? 1 : 2)));
    std::map<std::uint64_t, double> last;
    double least = 1e9;
    for (const Request& request : all(workload)) {
      const auto [at, fresh] = last.emplace(request.user, request.arrival_s);
      if (!fresh) least = std::min(least, request.arrival_s - at->second);
      at->second = request.arrival_s;
    }
    CHECK(least == Approx(100));
  }
  WorkloadOptions none = log.options();
  none.requests_per_s = 1e-6;
  CHECK_THROWS_WITH(once.with(none).summary(), Catch::Contains("--qps: 1e-06/s leaves no request"));
}

TEST_CASE("Poisson arrivals have exponential gaps", "[traffic]") {
  WorkloadOptions options = synthetic();
  options.requests = 400001;
  const std::vector<Request> requests = all(Workload(options));
  REQUIRE(requests.size() == 400001);
  CHECK(requests.front().arrival_s == 0);
  std::vector<double> gaps;
  for (std::size_t i = 1; i < requests.size(); ++i) gaps.push_back(requests[i].arrival_s - requests[i - 1].arrival_s);
  const auto n = static_cast<double>(gaps.size());
  double sum = 0, squares = 0, products = 0;
  for (const double gap : gaps) sum += gap;
  const double mean = sum / n;
  for (const double gap : gaps) squares += (gap - mean) * (gap - mean);
  for (std::size_t i = 1; i < gaps.size(); ++i) products += (gaps[i] - mean) * (gaps[i - 1] - mean);
  // Standard errors: of the mean 1/sqrt(n), of the coefficient of variation 1/sqrt(n) (delta method with the fourth
  // moment of the exponential, 9), of a correlation 1/sqrt(n).
  CHECK(std::fabs(mean * 50 - 1) < 5 / std::sqrt(n));
  CHECK(std::fabs(std::sqrt(squares / n) / mean - 1) < 5 / std::sqrt(n));
  CHECK(std::fabs(products / squares) < 5 / std::sqrt(n));
  std::sort(gaps.begin(), gaps.end());
  double farthest = 0;
  for (std::size_t i = 0; i < gaps.size(); ++i) {
    farthest = std::max(farthest, std::fabs(1 - std::exp(-50 * gaps[i]) - static_cast<double>(i) / n));
  }
  // Dvoretzky-Kiefer-Wolfowitz at 1e-9.
  CHECK(farthest < std::sqrt(std::log(2e9) / (2 * n)) + 1 / n);
}

TEST_CASE("the history of a synthetic user starts with a draw and grows", "[traffic]") {
  WorkloadOptions options = synthetic();
  for (const double growth : {0.0, 1.0, 0.4, 2.5}) {
    options.growth = growth;
    std::map<std::uint64_t, std::vector<std::int64_t>> histories;
    for (const Request& request : all(Workload(options))) histories[request.user].push_back(request.history);
    std::set<std::int64_t> firsts;
    bool right = true;
    for (const auto& [user, lengths] : histories) {
      firsts.insert(lengths[0]);
      for (std::size_t k = 0; k < lengths.size(); ++k) {
        const std::int64_t grown = lengths[k] - lengths[0];
        right = right && std::fabs(static_cast<double>(grown) - growth * static_cast<double>(k)) <= 0.5;
      }
    }
    CHECK(right);
    CHECK(firsts.size() > 200);
  }
}

TEST_CASE("requests are the same for the same replication, in any blocks, and others in others", "[traffic]") {
  const Workload workload(synthetic());
  const std::vector<Request> first = all(workload, 3);
  CHECK(first.size() == 20000);
  for (const std::size_t block : {1u, 7u, 20000u, 50000u}) CHECK(equal(all(workload, 3, block), first));
  CHECK(equal(all(Workload(synthetic()), 3), first));
  CHECK(equal(all(workload.with(synthetic()), 3), first));
  // Nothing of one replication is in the other: arrivals, users, first histories and candidates are uncorrelated.
  const std::vector<Request> other = all(workload, 4);
  int users = 0, histories = 0, candidates = 0;
  for (std::size_t i = 0; i < first.size(); ++i) {
    users += first[i].user == other[i].user ? 1 : 0;
    histories += first[i].history == other[i].history ? 1 : 0;
    candidates += first[i].candidates == other[i].candidates ? 1 : 0;
  }
  // Chance: sum of p^2 over Zipf's users is 0.029; histories and candidates agree less often.
  CHECK(users < 20000 * 0.04);
  CHECK(histories < 20000 * 0.04);
  CHECK(candidates < 20000 * 0.04);
  WorkloadOptions options = synthetic();
  options.seed = 2;
  CHECK_FALSE(equal(all(workload.with(options), 3), first));
}

TEST_CASE("arrivals, users, first histories and candidates are independent of each other", "[traffic]") {
  WorkloadOptions options = synthetic();
  options.users = 100000;
  options.zipf = 0;
  options.growth = 0;
  options.requests = 100000;
  const std::vector<Request> requests = all(Workload(options));
  std::vector<std::vector<double>> columns(4);
  for (std::size_t i = 1; i < requests.size(); ++i) {
    columns[0].push_back(std::log(requests[i].arrival_s - requests[i - 1].arrival_s));
    columns[1].push_back(static_cast<double>(requests[i].user));
    columns[2].push_back(std::log(1.0 + static_cast<double>(requests[i].history)));
    columns[3].push_back(std::log(static_cast<double>(requests[i].candidates)));
  }
  const auto n = static_cast<double>(columns[0].size());
  for (std::vector<double>& column : columns) {
    double mean = 0, squares = 0;
    for (const double x : column) mean += x / n;
    for (double& x : column) squares += (x - mean) * (x - mean);
    for (double& x : column) x = (x - mean) / std::sqrt(squares);
  }
  // Histories repeat with their users, about twice each among the 63000 seen: hence half of the values are free.
  for (std::size_t a = 0; a < 4; ++a) {
    for (std::size_t b = 0; b < a; ++b) {
      double correlation = 0;
      for (std::size_t i = 0; i < columns[a].size(); ++i) correlation += columns[a][i] * columns[b][i];
      INFO(a << " " << b);
      CHECK(std::fabs(correlation) < 5 / std::sqrt(n / 2));
    }
  }
}

TEST_CASE("a synthetic workload takes the times of a file and nothing else", "[traffic]") {
  const LogFile log("1000,1,1,1\n1500,1,1,1\n4000,1,1,1\n5000,1,1,1\n");
  WorkloadOptions options = synthetic();
  options.requests_per_s.reset();
  options.arrivals = log.path;
  options.requests.reset();
  const Workload workload(options);
  const std::vector<Request> requests = all(workload);
  REQUIRE(requests.size() == 4);
  CHECK(requests[1].arrival_s == 0.5);
  CHECK(requests[3].arrival_s == 4);
  CHECK(requests[3].history > 1);
  CHECK(says(workload.summary(), "arrivals: the times of " + log.path));
  options.requests_per_s = 0.75 * 10;  // 0.75/s as it is
  CHECK(all(workload.with(options)).size() == 40);
  CHECK(workload.with(options).count() == 40);
  write_file(log.path, "timestamp_ms\n1\n2\n");
  options.requests_per_s.reset();
  CHECK(all(Workload(options)).size() == 2);
}

TEST_CASE("what a workload lacks is asked for by its flag", "[traffic]") {
  const auto refused = [](const WorkloadOptions& options, const std::string& text) {
    CHECK_THROWS_AS(Workload(options), ConfigError);
    CHECK_THROWS_WITH(Workload(options), Catch::StartsWith(text));
  };
  const auto changed = [](const auto& change) {
    WorkloadOptions options = synthetic();
    change(options);
    return options;
  };
  refused(changed([](auto& o) { o.requests_per_s.reset(); }), "--qps: is missing");
  refused(changed([](auto& o) { o.history.reset(); }), "--history: is missing");
  refused(changed([](auto& o) { o.candidates.reset(); }), "--candidates: is missing");
  refused(changed([](auto& o) { o.candidates->kind = "constant", o.candidates->median = 0; }),
          "--candidates: '0' is too small");
  refused(changed([](auto& o) { o.requests_per_s = 0; }), "--qps: '0' is out of range");
  refused(changed([](auto& o) { o.requests_per_s = std::nan(""); }), "--qps: 'nan' is out of range");
  refused(changed([](auto& o) { o.requests = 0; }), "--requests: '0' is out of range");
  refused(changed([](auto& o) { o.users = 0; }), "--users: '0' is out of range");
  refused(changed([](auto& o) { o.users = 1'000'000'000; }), "--users: '1000000000' is out of range");
  refused(changed([](auto& o) { o.zipf = -1; }), "--zipf: '-1' is out of range");
  refused(changed([](auto& o) { o.growth = -1; }), "--growth: '-1' is out of range");
  refused(changed([](auto& o) { o.history_scale = 0; }), "--history-scale: '0' is out of range");
  refused(changed([](auto& o) { o.timestamps = "min"; }), "--timestamps: 'min' is not a unit; s, ms, us or ns");
  refused(changed([](auto& o) { o.spread = "yes"; }), "--spread-timestamps: 'yes' is unknown; random, even or none");
  refused(changed([](auto& o) { o.trace = "x"; }), "--history: a trace has its own histories");
  refused(changed([](auto& o) { o.trace = "x", o.arrivals = "y", o.history.reset(); }), "--arrivals: a trace has");
  CHECK_THROWS_AS(Workload(changed([](auto& o) { o.trace = "/no/such", o.history.reset(); })), IoError);
}

TEST_CASE("the summary is that of the requests", "[traffic]") {
  const Workload workload(synthetic());
  const WorkloadSummary summary = workload.summary();
  const std::vector<Request> requests = all(workload);
  std::set<std::uint64_t> users;
  std::vector<double> candidates;
  for (const Request& request : requests) {
    users.insert(request.user);
    candidates.push_back(static_cast<double>(request.candidates));
  }
  std::sort(candidates.begin(), candidates.end());
  CHECK(summary.requests == 20000);
  CHECK(summary.users == static_cast<std::int64_t>(users.size()));
  CHECK(summary.duration_s == requests.back().arrival_s);
  CHECK(summary.requests_per_s == Approx(50).epsilon(0.05));
  CHECK(summary.columns[1].p50 == candidates[9999]);
  CHECK(summary.columns[1].p99 == Approx(candidates[19799]).epsilon(1.0 / 256));
  CHECK(summary.columns[1].max == candidates.back());
  CHECK(summary.columns[2].mean == Approx(requests.back().arrival_s / 19999));
  for (const char* said : {"arrivals: Poisson, 50 requests/s", "user k of 1000 in proportion to 1/k^1",
                           "histories: of a user's first request lognormal with median 200 and P99 900, then 1 tokens",
                           "candidates: lognormal with median 50 and P99 300"}) {
    CHECK(says(summary, said));
  }
}

TEST_CASE("requests are written as a trace that reads back", "[traffic]") {
  const Workload workload(synthetic());
  const TemporaryFolder folder;
  std::string text;
  const auto source = workload.requests(2);
  write_trace(*source, [&](std::string_view piece) { text += piece; });
  write_file(folder.path() / "t.csv", text);
  WorkloadOptions options;
  options.trace = folder.path() / "t.csv";
  const std::vector<Request> before = all(workload, 2), after = all(Workload(options));
  REQUIRE(after.size() == before.size());
  for (std::size_t i = 0; i < before.size(); ++i) {
    REQUIRE(std::fabs(after[i].arrival_s - before[i].arrival_s) < 1e-9);
    REQUIRE(after[i].user == before[i].user);
    REQUIRE(after[i].history == before[i].history);
    REQUIRE(after[i].candidates == before[i].candidates);
  }
}

TEST_CASE("the sample traces are read, with their users", "[traffic]") {
  WorkloadOptions options;
  options.candidates = parse_distribution("100", "--candidates");
  options.trace = KVCAST_SOURCE_DIR "/configs/traces/movietweetings.csv";
  const WorkloadSummary ratings = Workload(options).summary();
  CHECK(ratings.requests == 2134);
  CHECK(ratings.users == 353);
  CHECK(ratings.columns[0].p50 == 6);
  options.trace = KVCAST_SOURCE_DIR "/configs/traces/azure_llm.csv";
  const WorkloadSummary conversations = Workload(options).summary();
  CHECK(conversations.requests == 2867);
  CHECK(conversations.users == 2867);
  CHECK(conversations.duration_s == Approx(599.971));
}

}  // namespace kvcast::traffic
