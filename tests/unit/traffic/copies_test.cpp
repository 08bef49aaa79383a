#include "traffic/copies.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/random.h"
#include "base/text.h"
#include "catch.h"
#include "kvcast/error.h"
#include "unit/files.h"

namespace kvcast::traffic {
namespace {

using testing::TemporaryFolder;
using testing::write_file;

constexpr int kRows = 5000, kUsers = 300;

// Users who come back, each with a history that grows; no two gaps between requests of a user are alike.
struct LogFile {
  LogFile() : path((folder.path() / "t.csv").string()) {
    std::string text = "timestamp_ms,user_id,history_len,n_candidates\n";
    const RandomStream random(3, 3);
    std::map<std::uint64_t, std::int64_t> lengths;
    double ms = 5e11;
    for (std::uint64_t i = 0; i < kRows; ++i) {
      ms += static_cast<double>(random.bits(2 * i) % 1000000) / 1000;
      const std::uint64_t draw = random.bits(2 * i + 1);
      const std::uint64_t user = (draw % kUsers) * ((draw >> 32) % kUsers) / kUsers;  // some come far more often
      text += format_double(ms) + "," + std::to_string(user) + "," + std::to_string(++lengths[user]) + ",1\n";
    }
    write_file(path, text);
    read = read_log(
        read_format(path, {TraceColumn::timestamp, TraceColumn::user, TraceColumn::history, TraceColumn::candidates},
                    std::nullopt),
        {});
  }
  std::vector<CopiedRow> rows(const Copies& copies, std::uint64_t key = 1,
                              CopyReader::Keep keep = CopyReader::Keep::users) const {
    CopyReader reader(read, copies, keep, key);
    std::vector<CopiedRow> rows;
    const std::int64_t count = reader.count();
    for (CopiedRow row; reader.next(row);) rows.push_back(row);
    CHECK(count == static_cast<std::int64_t>(rows.size()));
    return rows;
  }
  TemporaryFolder folder;
  std::string path;
  Log read;
};

struct Requests {
  std::vector<double> arrival_s;
  std::vector<std::int64_t> history;
};
std::map<std::uint64_t, Requests> by_user(const std::vector<CopiedRow>& rows) {
  std::map<std::uint64_t, Requests> users;
  for (const CopiedRow& row : rows) {
    users[row.user].arrival_s.push_back(row.arrival_s);
    users[row.user].history.push_back(row.history);
  }
  return users;
}

// Gaps to the next request of the user, to the microsecond, with how often each occurs.
std::map<std::int64_t, int> gaps(const std::map<std::uint64_t, Requests>& users) {
  std::map<std::int64_t, int> gaps;
  for (const auto& [user, of_user] : users) {
    for (std::size_t i = 1; i < of_user.arrival_s.size(); ++i) {
      ++gaps[std::llround((of_user.arrival_s[i] - of_user.arrival_s[i - 1]) * 1e6)];
    }
  }
  return gaps;
}

}  // namespace

TEST_CASE("one copy is the trace", "[traffic]") {
  const LogFile log;
  const auto rows = log.rows({1, 0});
  REQUIRE(rows.size() == kRows);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const LogRow& row = log.read.rows()[i];
    REQUIRE(rows[i].arrival_s == log.read.since_first_s(i));
    REQUIRE(rows[i].user == row.user);
    REQUIRE(rows[i].history == row.history);
  }
}

TEST_CASE("more copies add users and leave the gaps between the requests of each", "[traffic]") {
  const LogFile log;
  const std::map<std::int64_t, int> once = gaps(by_user(log.rows({1, 0})));
  for (const std::int64_t copies : {2, 3, 17}) {
    INFO(copies << " copies");
    const auto rows = log.rows({copies, 0});
    REQUIRE(static_cast<std::int64_t>(rows.size()) == copies * kRows);
    CHECK(std::is_sorted(rows.begin(), rows.end(),
                         [](const CopiedRow& a, const CopiedRow& b) { return a.arrival_s < b.arrival_s; }));
    CHECK(rows.front().arrival_s >= 0);
    CHECK(rows.back().arrival_s < log.read.period_s());
    std::set<std::uint64_t> ids;
    for (const CopiedRow& row : rows) ids.insert(row.id);
    CHECK(ids.size() == rows.size());

    const auto users = by_user(rows);
    CHECK(static_cast<std::int64_t>(users.size()) > copies * kUsers * 9 / 10 / 2);
    bool grows = true;
    for (const auto& [user, of_user] : users) {
      for (std::size_t i = 1; i < of_user.history.size(); ++i) {
        grows = grows && of_user.history[i] == of_user.history[i - 1] + 1;
      }
    }
    CHECK(grows);

    // Every gap is one of the trace, and each is there as often as there are copies: but for one of each user where a
    // copy begins.
    std::int64_t kept = 0, lost = 0, foreign = 0;
    std::map<std::int64_t, int> now = gaps(users);
    for (const auto& [gap, times] : once) {
      int found = 0;  // the shifts are rounded
      for (std::int64_t near = gap - 1; near <= gap + 1; ++near) {
        const auto at = now.find(near);
        if (at == now.end()) continue;
        found += at->second;
        now.erase(at);
      }
      kept += found;
      lost += copies * times - found;
    }
    for (const auto& [gap, times] : now) foreign += times;
    CHECK(foreign == 0);
    CHECK(kept > 0);
    CHECK(lost <= (copies - 1) * kUsers);
  }
}

TEST_CASE("copies are spread over the trace, otherwise in each replication", "[traffic]") {
  const LogFile log;
  // The rate is even: in every tenth of the time there are as many as in the whole, within the noise of one copy.
  const auto rows = log.rows({50, 0});
  std::vector<int> tenths(10);
  for (const CopiedRow& row : rows) ++tenths[static_cast<std::size_t>(row.arrival_s / (log.read.period_s() / 10))];
  for (const int tenth : tenths) CHECK(tenth == Approx(5 * kRows).epsilon(0.05));
  const auto times = [&](std::uint64_t key) {
    std::vector<double> arrivals;
    for (const CopiedRow& row : log.rows({3, 0.5}, key)) arrivals.push_back(row.arrival_s);
    return arrivals;
  };
  CHECK(times(1) == times(1));
  CHECK(times(1) != times(2));
}

TEST_CASE("a part of a copy keeps whole users, and a larger part keeps them too", "[traffic]") {
  const LogFile log;
  const auto all = by_user(log.rows({1, 0}));
  std::set<std::uint64_t> before;
  for (const double part : {0.1, 0.4, 0.8}) {
    const auto kept = by_user(log.rows({0, part}));
    double expected = 0, variance = 0;
    std::size_t rows = 0;
    for (const auto& [user, of_user] : all) {
      const auto n = static_cast<double>(of_user.arrival_s.size());
      expected += part * n;
      variance += part * (1 - part) * n * n;
    }
    for (const auto& [user, of_user] : kept) {
      rows += of_user.arrival_s.size();
      REQUIRE(all.count(user) == 1);
      CHECK(of_user.arrival_s == all.at(user).arrival_s);
    }
    CHECK(std::fabs(static_cast<double>(rows) - expected) < 5 * std::sqrt(variance));
    for (const std::uint64_t user : before) CHECK(kept.count(user) == 1);
    for (const auto& [user, of_user] : kept) before.insert(user);
  }
  std::set<std::uint64_t> fewer, more;
  for (const CopiedRow& row : log.rows({2, 0.3})) fewer.insert(row.id);
  for (const CopiedRow& row : log.rows({4, 0.1})) more.insert(row.id);
  CHECK(std::includes(more.begin(), more.end(), fewer.begin(), fewer.end()));
  // Rows: a binomial share of them, whoever asks.
  const auto rows = log.rows({0, 0.25}, 1, CopyReader::Keep::rows);
  CHECK(std::fabs(static_cast<double>(rows.size()) - 0.25 * kRows) < 5 * std::sqrt(0.25 * 0.75 * kRows));
}

TEST_CASE("copies for a rate", "[traffic]") {
  const LogFile log;
  const double own = log.read.requests_per_s();
  CHECK(own == Approx((kRows - 1) / log.read.span_s()));
  for (const auto& [rate, whole, part] : std::vector<std::tuple<double, int, double>>{
           {1, 1, 0}, {3, 3, 0}, {0.25, 0, 0.25}, {2.75, 2, 0.75}, {3 * (1 + 1e-15), 3, 0}, {3 * (1 - 1e-15), 3, 0}}) {
    const Copies copies = copies_for(log.read, rate * own);
    CHECK(copies.whole == whole);
    CHECK(copies.part == Approx(part).margin(1e-12));
  }
  CHECK_THROWS_WITH(copies_for(log.read, 65537 * own), Catch::Contains("--qps") && Catch::Contains("at most 65536"));
  write_file(log.path, "timestamp_ms,user_id\n7,1\n7,2\n");
  const Log still = read_log(read_format(log.path, {TraceColumn::timestamp}, std::nullopt), {});
  CHECK_THROWS_WITH(copies_for(still, 1), Catch::Contains("have the same timestamp: it has no rate"));
}

}  // namespace kvcast::traffic
