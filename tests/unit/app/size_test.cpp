#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "catch.h"
#include "folders.h"
#include "kvcast/kvcast.h"
#include "statistics/statistics.h"

namespace {

using Catch::Contains;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using namespace kvcast;

SizingOptions of_r(double r) {
  SizingOptions options;
  options.r = r;
  return options;
}

/// r = 0.1 at 1 ms a naive candidate, without noise.
std::string planted_csv() {
  std::string text = "candidates,naive_seconds,shared_seconds\n";
  for (const int n : {1, 5, 20, 100}) {
    for (int round = 0; round < 4; ++round) {
      const double wobble = 1 + 0.001 * (round % 2);
      text += std::to_string(n) + "," + std::to_string(0.001 * n * wobble) + "," +
              std::to_string(0.001 * (1 + (n - 1) * 0.1) * wobble) + "\n";
    }
  }
  return text;
}

const SizingPoint& at(const Sizing& sizing, std::int64_t candidates) {
  const auto found = std::find_if(sizing.points.begin(), sizing.points.end(),
                                  [&](const SizingPoint& point) { return point.candidates == candidates; });
  REQUIRE(found != sizing.points.end());
  return *found;
}

/// `text` rounds to `value` at the decimals that it shows.
void check_shown(double value, const std::string& text) {
  const std::size_t dot = text.find('.');
  const auto decimals = dot == std::string::npos ? 0 : text.size() - dot - 1;
  INFO(value << " is shown as " << text);
  CHECK_THAT(value, WithinAbs(std::stod(text), 0.5 * std::pow(10.0, -static_cast<double>(decimals)) + 1e-9));
}

}  // namespace

TEST_CASE("r = 0.15 and a drop of 40% give the tables of the design note", "[app][size]") {
  SizingOptions options = of_r(0.15);
  options.drop = 0.4;
  const Sizing sizing = *size("", options).sizing;
  // docs/model.md §4, as it stands there.
  struct Row {
    std::int64_t n;
    const char *speedup, *improvement, *seed_rule, *exact;
  };
  for (const Row& row : {Row{1, "1.000", "0", "40", "40.0"}, Row{5, "3.125", "68.0", "12.8", "17.6"},
                         Row{10, "4.255", "76.5", "9.4", "13.5"}, Row{50, "5.988", "83.3", "6.68", "10.0"},
                         Row{100, "6.309", "84.15", "6.34", "9.6"}, Row{1000, "6.629", "84.915", "6.03", "9.1"}}) {
    const SizingPoint& point = at(sizing, row.n);
    INFO("N=" << row.n);
    check_shown(point.speedup.value, row.speedup);
    check_shown(100 * point.improvement, row.improvement);
    check_shown(100 * *point.drop_design_note, row.seed_rule);
    check_shown(100 * *point.drop_exact, row.exact);
    CHECK(point.drop_naive == 0.4);
    CHECK(point.source == Source::assumed);
    CHECK_FALSE(point.scheme_s);  // no time follows from r
  }
  // The seed's N >= 5 for more than 60%, and its asymptote.
  CHECK_THAT(*sizing.limit, WithinRel(1 / 0.15, 1e-12));
  options.min_improvement = 0.6;
  CHECK(size("", options).sizing->min_candidates == 4);  // 63.75%; N = 3 has 56.7%
  options.min_improvement = 0.68;
  CHECK(size("", options).sizing->min_candidates == 5);
  REQUIRE(sizing.drop_targets.size() == 1);
  CHECK_THAT(sizing.drop_targets[0].speedup_needed, WithinAbs(9.137, 5e-4));
  CHECK_FALSE(sizing.drop_targets[0].candidates);
  CHECK_FALSE(sizing.conservative_candidates);
}

TEST_CASE("N of a share of the ceiling is that of the formula", "[app][size]") {
  for (const double r : {0.15, 0.009, 0.4}) {
    const Sizing sizing = *size("", of_r(r)).sizing;
    REQUIRE(sizing.fractions.size() == 5);
    for (const SizingFraction& row : sizing.fractions) {
      INFO("r=" << r << " p=" << row.fraction);
      CHECK(*row.candidates == static_cast<std::int64_t>(std::ceil(candidates_for_fraction(row.fraction, r) - 1e-6)));
    }
    // The knee is where candidates take as long as the history: half of the ceiling.
    CHECK(sizing.knee_candidates == sizing.fractions[0].candidates);
  }
}

TEST_CASE("a latency budget follows from naive's time of a candidate", "[app][size]") {
  SizingOptions options = of_r(0.1);
  options.naive_candidate_s = 0.001;
  options.p99_s = 0.0105;
  const Sizing sizing = *size("", options).sizing;
  CHECK(sizing.expected_candidates == 96);  // 1 + 95 * 0.1 = 10.5
  CHECK(sizing.binding == "p99");
  CHECK(sizing.feasible);
  options.tail = 2;
  CHECK(*size("", options).sizing->expected_candidates < 48);
  options.tail = 1;
  options.requests_per_s = 10;
  const Sizing loaded = *size("", options).sizing;
  CHECK(*loaded.expected_candidates < 96);
  CHECK(*at(loaded, *loaded.expected_candidates).p99_s <= 0.0105);
  CHECK(*at(loaded, *loaded.expected_candidates).utilisation < 0.9);
}

TEST_CASE("timings of one's own are enough", "[app][size]") {
  const testing::TemporaryFolder folder;
  const std::string path = (folder.path() / "gpu.csv").string();
  testing::write_file(path, planted_csv());
  SizingOptions options;
  options.p99_s = 0.006;
  options.requests_per_s = 100;
  options.workers = 8;
  options.price_per_hour = 3.6;
  options.extrapolate = true;
  const Report report = size(path, options);
  const Sizing& sizing = *report.sizing;
  REQUIRE(sizing.expected_candidates);
  // Without waiting 6 ms are 51 candidates; at 100 requests a second on 8 workers hardly one waits.
  CHECK(*sizing.expected_candidates >= 47);
  CHECK(*sizing.expected_candidates <= 51);
  REQUIRE(sizing.conservative_candidates);
  CHECK(*sizing.conservative_candidates <= *sizing.expected_candidates);
  CHECK(sizing.source == Source::fitted);
  CHECK(at(sizing, 1000).source == Source::extrapolated);
  CHECK_FALSE(sizing.history_length);
  // A machine for each worker, since nothing tells the CPUs; a dollar per 1000 s.
  for (const SizingFleet& row : sizing.fleet) {
    if (!row.workers) continue;
    CHECK(row.machines == row.workers);
    CHECK_THAT(*row.cost_per_million, WithinRel(1000.0 * static_cast<double>(*row.machines) / 100, 1e-9));
  }
  CHECK_THROWS_WITH(
      [&] {
        options.memory_bytes = 1 << 30;
        size(path, options);
      }(),
      Contains("--memory: the shape is unknown") && Contains("--shape"));
  options.shape = "smoke";
  const Sizing sized = *size(path, options).sizing;
  CHECK(sized.budgets.size() == 3);
  CHECK(sized.history_length);
  CHECK(*at(sized, 1000).copies_memory_bytes > *at(sized, 1000).memory_bytes);
}

TEST_CASE("beyond four times the largest measured N nothing is answered unless asked", "[app][size]") {
  const testing::TemporaryFolder folder;
  const std::string path = (folder.path() / "gpu.csv").string();
  testing::write_file(path, planted_csv());
  SizingOptions options;
  options.p99_s = 100;
  const Sizing sizing = *size(path, options).sizing;
  CHECK(sizing.feasible);
  CHECK(sizing.known_to == 400);
  CHECK(sizing.expected_candidates == 400);
  CHECK(sizing.binding.empty());
  CHECK_THAT(sizing_answer(sizing), Contains("score at least N = 400") && Contains("measure larger N"));
  for (const SizingPoint& row : sizing.points) CHECK(row.candidates <= 400);
  CHECK_FALSE(sizing.budgets.at(0).used);
  options.extrapolate = true;
  const Sizing further = *size(path, options).sizing;
  CHECK_FALSE(further.known_to);
  CHECK(*further.expected_candidates > 100'000);
  CHECK(further.binding == "p99");
}

TEST_CASE("of a grid the largest shape, or the one that is asked for", "[app][size]") {
  const testing::TemporaryFolder folder;
  const Report whole = testing::part(1, 1);
  write_report(whole, folder.path().string());
  const std::string path = folder.path().string();
  SizingOptions options;
  options.p99_s = 10;
  options.extrapolate = true;
  const Sizing largest = *size(path, options).sizing;
  std::int64_t max_layers = 0, max_history = 0;
  for (const Case& one : whole.cases) {
    max_layers = std::max(max_layers, one.shape->layers);
    max_history = std::max(max_history, one.shape->history_length);
  }
  CHECK(largest.layers == max_layers);
  CHECK(largest.history_length == max_history);
  options.history_length = whole.cases[0].shape->history_length;
  options.layers = whole.cases[0].shape->layers;
  const Sizing chosen = *size(path, options).sizing;
  CHECK(chosen.history_length == options.history_length);
  CHECK(chosen.layers == options.layers);
  const auto lengths = std::count_if(chosen.frontiers.begin(), chosen.frontiers.end(),
                                     [](const SizingFrontier& row) { return row.axis == "history_length"; });
  CHECK(lengths >= 2);
  CHECK_FALSE(chosen.parameters.empty());
}

TEST_CASE("memory is weights, workers and cached users", "[app][size]") {
  SizingOptions options = of_r(0.1);
  options.shape = "seed";
  options.memory_bytes = std::int64_t{1} << 40;
  const auto bytes = [&] { return *at(*size("", options).sizing, 100).memory_bytes; };
  const std::int64_t one = bytes();
  options.users_cached = 10;
  // 307.2 MB a user: L = 1000, d = 768, 50 layers in fp32 (docs/model.md §2).
  CHECK(bytes() - one == 10 * std::int64_t{307'200'000});
  options.users_cached = 0;
  options.workers = 3;
  const std::int64_t three = bytes();
  options.workers = 5;
  CHECK(bytes() - three == three - one);
  const Sizing sizing = *size("", options).sizing;
  REQUIRE(sizing.memory.size() >= 4);
  CHECK(sizing.memory[0].user_bytes == 307'200'000);
  CHECK(sizing.memory[0].copies_bytes == 50 * sizing.memory[0].user_bytes);  // 15.36 GB
  CHECK(sizing.memory[1].kv_dtype == "bf16");
  CHECK(sizing.memory[1].user_bytes == 153'600'000);
  // A copy per candidate: 99 more of them, for each worker.
  CHECK(*at(sizing, 100).copies_memory_bytes - *at(sizing, 100).memory_bytes >= 5 * 99 * std::int64_t{307'200'000});
  // Beyond the block of rows a candidate takes its token and its output, 768 floats each.
  options.candidates = {1'000'000, 2'000'000};
  const Sizing wide = *size("", options).sizing;
  CHECK(*at(wide, 2'000'000).memory_bytes - *at(wide, 1'000'000).memory_bytes ==
        5 * std::int64_t{1'000'000} * 2 * 768 * 4);
  // Smaller keys and values leave room for more candidates.
  options.memory_bytes = std::int64_t{20} << 30;
  options.users_cached = 20;
  const Sizing tight = *size("", options).sizing;
  REQUIRE(tight.expected_candidates);
  const auto halved =
      std::find_if(tight.alternatives.begin(), tight.alternatives.end(),
                   [](const SizingAlternative& row) { return row.change.find("bf16") != std::string::npos; });
  REQUIRE(halved != tight.alternatives.end());
  CHECK(*halved->expected_candidates > *tight.expected_candidates);
}

TEST_CASE("the drop of the sized shape is that of its ranking head", "[app][size]") {
  const testing::TemporaryFolder folder;
  Report report = testing::part(1, 1);
  // The head takes 1.5 ms a candidate where naive takes 1: a drop of 40%, and at the other L of 25%.
  for (Case& one : report.cases) {
    const double head_s = (one.shape->history_length == 128 ? 1.5e-3 : 3e-3) * (one.shape->layers == 1 ? 6 : 1);
    std::vector<Sample> samples;
    for (Sample sample : one.samples) {
      const double n = static_cast<double>(sample.candidates);
      sample.scheme.with_head = true;
      sample.measured_seconds += head_s * n;
      samples.push_back(sample);
      if (sample.scheme != "naive+head") continue;
      sample.scheme = "head";
      sample.measured_seconds = head_s * n;
      samples.push_back(sample);
    }
    one.samples.insert(one.samples.end(), samples.begin(), samples.end());
    one.shape->head_width = 512;
  }
  report.config->model.head_width = 512;
  write_report(report, folder.path().string());
  const std::string path = folder.path().string();
  SizingOptions options;
  const Sizing sizing = *size(path, options).sizing;
  REQUIRE(sizing.drop);
  CHECK_THAT(sizing.drop->value, WithinAbs(0.4, 1e-6));
  CHECK(sizing.drop->ci95);
  CHECK(sizing.drop_source == Source::measured);
  const SizingPoint& point = at(sizing, 50);
  CHECK_THAT(*point.drop_exact, WithinAbs(drop_exact(0.4, point.speedup.value), 1e-6));
  std::size_t lengths = 0;
  for (const SizingFrontier& row : sizing.frontiers) {
    if (row.axis != "history_length") continue;
    ++lengths;
    if (row.at == 64) CHECK_THAT(*row.drop_naive, WithinAbs(0.25, 1e-6));
    if (row.at == 128) CHECK_THAT(*row.drop_naive, WithinAbs(0.4, 1e-6));
  }
  CHECK(lengths >= 2);
  // With one layer the head is planted six times as long.
  options.layers = 1;
  CHECK_THAT(size(path, options).sizing->drop->value, WithinAbs(0.1, 1e-6));
  options.layers.reset();
  // Asked about another, that counts.
  options.drop = 0.2;
  const Sizing other = *size(path, options).sizing;
  CHECK(other.drop->value == 0.2);
  CHECK(other.drop_source == Source::assumed);
  options.drop.reset();
  options.target_drop = 0.45;
  CHECK_THROWS_WITH(size(path, options), Contains("--target-drop: '45%' is not below the measured drop of 40%"));
}

TEST_CASE("what does not meet one candidate names what would", "[app][size]") {
  SizingOptions options = of_r(0.1);
  options.naive_candidate_s = 0.02;
  options.p99_s = 0.015;
  const Sizing sizing = *size("", options).sizing;
  CHECK_FALSE(sizing.feasible);
  CHECK(sizing.expected_candidates == 0);
  REQUIRE(sizing.changes.size() == 1);
  CHECK(sizing.changes[0].input == "p99");
  CHECK_THAT(sizing.changes[0].to, WithinRel(0.02, 1e-5));
  CHECK(sizing_answer(sizing) ==
        "infeasible: P99 latency: one candidate takes 20.0 ms, 5.00 ms over 15.0 ms. Smallest change: raise P99 "
        "latency from 15.0 ms to 20.0 ms");
  // An improvement beyond the ceiling.
  SizingOptions wanted = of_r(0.25);
  wanted.min_improvement = 0.9;
  const Sizing never = *size("", wanted).sizing;
  CHECK_FALSE(never.feasible);
  CHECK_THAT(sizing_answer(never), Contains("out of reach at any N: the largest speed-up is 4.00x, 75.0%"));
  REQUIRE_FALSE(never.changes.empty());
  CHECK(never.changes[0].input == "min_improvement");
  CHECK_THAT(never.changes[0].to, WithinAbs(0.75, 1e-3));
}

TEST_CASE("options that do not fit together are refused", "[app][size]") {
  const auto refused = [](auto change) {
    SizingOptions options = of_r(0.15);
    change(options);
    std::string message = "none";
    try {
      size("", options);
    } catch (const ConfigError& error) {
      message = error.what();
    }
    return message;
  };
  using O = SizingOptions;
  CHECK(refused([](O&) {}) == "none");
  CHECK_THAT(refused([](O& o) { o.p99_s = 0.05; }),
             Contains("--p99: r alone gives ratios") && Contains("--naive-candidate"));
  CHECK_THAT(refused([](O& o) { o.requests_per_s = 5; }), Contains("--qps: r alone"));
  CHECK_THAT(refused([](O& o) { o.price_per_hour = 5; }), Contains("--price-per-hour: r alone"));
  CHECK_THAT(refused([](O& o) { o.tail = 1.5; }), Contains("--tail: r alone"));
  CHECK_THAT(refused([](O& o) { o.memory_bytes = 5; }), Contains("--memory: the shape is unknown"));
  CHECK_THAT(refused([](O& o) { o.users_cached = 5; }), Contains("--users-cached") && Contains("--memory 8GiB"));
  CHECK_THAT(refused([](O& o) { o.target_drop = 0.068; }), Contains("--target-drop") && Contains("--drop 40"));
  CHECK_THAT(refused([](O& o) { o.drop = 0.4, o.target_drop = 0.4; }), Contains("--target-drop: '40%' is not below"));
  CHECK_THAT(refused([](O& o) { o.r.reset(); }), Contains("nothing to size from"));
  CHECK_THAT(refused([](O& o) { o.r = 1.5; }), Contains("--r: '1.5' is out of range"));
  CHECK_THAT(refused([](O& o) { o.workers = 0; }), Contains("--workers: '0' is out of range"));
  CHECK_THAT(refused([](O& o) { o.users_cached = -1; }), Contains("--users-cached"));
  CHECK_THAT(refused([](O& o) { o.drop = 1; }), Contains("--drop"));
  CHECK_THAT(refused([](O& o) { o.scheme = "cached"; }), Contains("--scheme: 'cached' cannot be sized"));
  CHECK_THAT(refused([](O& o) { o.scheme = "naive"; }), Contains("one of shared, shared-copy, packed"));
  CHECK_THAT(refused([](O& o) { o.history_length = 5; }), Contains("--history: there are no measured shapes"));
  CHECK_THAT(refused([](O& o) { o.candidates = {0}; }), Contains("--candidates: '0'"));
  CHECK_THAT(refused([](O& o) { o.candidates = {1'000'000'001}; }),
             Contains("--candidates") && Contains("1 to 1000000000"));
  CHECK_THROWS_WITH(size("x.csv", of_r(0.1)), Contains("--r: r comes from x.csv"));
}

TEST_CASE("a sizing is written with the report and read back from it", "[app][size]") {
  const testing::TemporaryFolder folder;
  SizingOptions options = of_r(0.15);
  options.drop = 0.4;
  const auto paths = write_report(size("", options), folder.path().string());
  for (const char* name : {"report.json", "sizing.csv", "sizing.md"}) {
    CHECK(std::any_of(paths.begin(), paths.end(), [&](const std::string& path) { return path.ends_with(name); }));
  }
  // Without a sizing there are no such files.
  const testing::TemporaryFolder other;
  const auto plain = write_report(Report{}, other.path().string());
  CHECK(std::none_of(plain.begin(), plain.end(),
                     [](const std::string& path) { return path.find("sizing") != std::string::npos; }));
}

TEST_CASE("other shapes are scaled with the work of each pass, other threads with their number", "[app][size]") {
  SizingOptions options = of_r(0.1);
  options.naive_candidate_s = 0.001;
  options.p99_s = 0.02;
  options.shape = "smoke";
  const Sizing sizing = *size("", options).sizing;
  // Preset smoke: L = 64, d = 64, two heads, two layers.
  WorkShape before;
  before.history_length = 64;
  before.dim = 64;
  before.heads = 2;
  before.kv_heads = 2;
  before.layers = 2;
  WorkShape after = before;
  after.history_length = 128;
  const double user = 0.0009 * history_flops(after) / history_flops(before);
  const double each = 0.0001 * candidate_flops(after) / candidate_flops(before);
  const auto longer = std::find_if(sizing.parameters.begin(), sizing.parameters.end(),
                                   [](const SizingParameter& row) { return row.name == "L" && row.to == "128"; });
  REQUIRE(longer != sizing.parameters.end());
  CHECK(longer->expected_candidates == static_cast<std::int64_t>(std::floor((0.02 - user) / each)));
  CHECK(longer->source == Source::assumed);

  const testing::TemporaryFolder folder;
  const std::string path = (folder.path() / "gpu.csv").string();
  testing::write_file(path, planted_csv());
  SizingOptions timed;
  timed.p99_s = 0.006;
  timed.shape = "smoke";
  const Sizing own = *size(path, timed).sizing;
  for (const SizingParameter& row : own.parameters) {
    if (row.name != "threads") continue;
    CHECK((*row.expected_candidates > *own.expected_candidates) == (std::stoi(row.to) > std::stoi(row.from)));
  }
  // Sixteen timings have no 99th percentile.
  CHECK(std::any_of(own.notes.begin(), own.notes.end(),
                    [](const std::string& note) { return note.starts_with("P99 rests on 16 timings"); }));
}

TEST_CASE("between and beyond the measured shapes times are by the surface", "[app][size]") {
  const testing::TemporaryFolder folder;
  // A grid whose passes take a nanosecond per thousand FLOPs and 10 us each.
  Report whole = testing::part(1, 1);
  const Config config = parse_config(
      R"({"model": {"dim": 64, "heads": 2}, "sweep": {"history_length": [32, 64, 128], "layers": [1, 2, 4]},
          "run": {"candidates": [1, 10, 50, 100]}})",
      "test", {}, {2, std::int64_t{1} << 32});
  whole.config = config;
  whole.cases.clear();
  for (const Config& one : grid(config)) {
    whole.cases.push_back(testing::planted_case(one, 0.1));
    WorkShape work;
    work.history_length = one.model.history_length;
    work.layers = one.model.layers;
    work.dim = 64;
    work.heads = work.kv_heads = 2;
    for (Sample& sample : whole.cases.back().samples) {
      const double n = static_cast<double>(sample.candidates),
                   wobble = 1 + 1e-3 * static_cast<double>(sample.round % 2);
      if (sample.scheme == "naive") {
        sample.measured_seconds = n * (1e-5 + 1e-12 * naive_flops(work));
        continue;
      }
      sample.prefill_s = wobble * (1e-5 + 1e-12 * history_flops(work));
      sample.scoring_s = wobble * (1e-5 + 1e-12 * n * candidate_flops(work));
      sample.measured_seconds = *sample.prefill_s + *sample.scoring_s;
    }
  }
  whole.machine->peak_gflops = 1000;
  whole.machine->bf16_peak_gflops = 2000;
  write_report(whole, folder.path().string());
  const std::string path = folder.path().string();
  std::int64_t least = 1'000'000, most = 0, layers = 0;
  for (const Case& one : whole.cases) {
    least = std::min(least, one.shape->history_length);
    most = std::max(most, one.shape->history_length);
    layers = std::max(layers, one.shape->layers);
  }
  SizingOptions options;
  options.layers = layers;
  options.history_length = (least + most) / 2;
  options.candidates = {1'000'000, 2'000'000};
  options.extrapolate = true;
  const Sizing between = *size(path, options).sizing;
  CHECK(between.source == Source::fitted);
  CHECK(between.memory.front().candidates > 1);
  const auto each = std::find_if(between.inputs.begin(), between.inputs.end(),
                                 [](const SizingInput& input) { return input.name == "candidate_s"; });
  REQUIRE(each != between.inputs.end());
  CHECK_THAT(*at(between, 2'000'000).scheme_s - *at(between, 1'000'000).scheme_s, WithinRel(1e6 * each->value, 0.02));
  const Surface surface = size(path, options).surfaces.at(0);
  REQUIRE(surface.speedup_log_error);
  CHECK_THAT(std::log(*at(between, 10).p99_conservative_s / *at(between, 10).p99_s),
             WithinRel(kvcast::student_t_factor(0.95, surface.shapes - 1) * *surface.speedup_log_error, 1e-6));
  // Beyond the grid an N that was measured is extrapolated too, and the speed-up is that of the other shape.
  SizingOptions timed = options;
  timed.history_length = 2 * *options.history_length;
  timed.p99_s = *at(*size(path, timed).sizing, 50).p99_s * 1.001;
  timed.history_length = options.history_length;
  const Sizing near = *size(path, timed).sizing;
  const auto far = std::find_if(near.frontiers.begin(), near.frontiers.end(), [&](const SizingFrontier& row) {
    return row.axis == "history_length" && row.at == static_cast<double>(2 * *options.history_length);
  });
  REQUIRE(far != near.frontiers.end());
  REQUIRE(far->expected_candidates);
  CHECK(*far->expected_candidates >= 1);
  CHECK(*far->expected_candidates <= 100);
  CHECK(far->source == Source::extrapolated);
  timed.history_length = 2 * *options.history_length;
  timed.candidates = {*far->expected_candidates};
  CHECK_THAT(*far->speedup, WithinRel(at(*size(path, timed).sizing, *far->expected_candidates).speedup.value, 1e-9));
  options.history_length = 4 * most;
  options.p99_s = 10 * *at(between, 100).scheme_s;
  const Sizing beyond = *size(path, options).sizing;
  CHECK(beyond.source == Source::extrapolated);
  CHECK(at(beyond, 10).source == Source::extrapolated);
  CHECK(beyond.memory.front().candidates == between.memory.front().candidates);
  const auto frontier = std::find_if(beyond.frontiers.begin(), beyond.frontiers.end(), [&](const SizingFrontier& row) {
    return row.axis == "history_length" && row.at == static_cast<double>(2 * most);
  });
  REQUIRE(frontier != beyond.frontiers.end());
  CHECK(frontier->source == Source::extrapolated);
  const auto typed = std::find_if(beyond.parameters.begin(), beyond.parameters.end(),
                                  [](const SizingParameter& row) { return row.name == "dtype"; });
  REQUIRE(typed != beyond.parameters.end());
  CHECK(typed->to == "bf16");
  CHECK(*typed->expected_candidates > *beyond.expected_candidates);
  // Where the parts ran on several machines, that of the case counts.
  for (Case& one : whole.cases) one.machine = whole.machine;
  whole.machine.reset();
  write_report(whole, folder.path().string());
  SizingOptions merged;
  merged.p99_s = 0.01;
  merged.extrapolate = true;
  const Sizing of_parts = *size(path, merged).sizing;
  CHECK(std::any_of(of_parts.parameters.begin(), of_parts.parameters.end(),
                    [](const SizingParameter& row) { return row.name == "dtype"; }));
  // The largest shape has the most layers, then the longest history.
  std::erase_if(whole.cases,
                [&](const Case& one) { return one.shape->history_length == most && one.shape->layers == layers; });
  write_report(whole, folder.path().string());
  const Sizing largest = *size(path, SizingOptions{}).sizing;
  CHECK(largest.layers == layers);
  CHECK(*largest.history_length < most);
}

TEST_CASE("the change that is shown is enough", "[app][size]") {
  // 6.0123 ms is needed: 6.01 would not do. Of a rate it is the other way round.
  SizingOptions options = of_r(0.1);
  options.naive_candidate_s = 0.0060123;
  options.p99_s = 0.005;
  CHECK_THAT(sizing_answer(*size("", options).sizing), Contains("raise P99 latency from 5.00 ms to 6.02 ms"));
  options.p99_s.reset();
  options.requests_per_s = 200;
  const std::string answer = sizing_answer(*size("", options).sizing);
  CHECK_THAT(answer, Contains("can serve 149.7/s, 50.31/s short of 200.0/s"));
  CHECK_THAT(answer, Contains("lower request rate from 200.0/s to 149.6/s"));
  options.requests_per_s.reset();
  options.min_improvement = 0.95;
  options.r = 0.1234567;
  CHECK_THAT(sizing_answer(*size("", options).sizing), Contains("lower minimum improvement from 95.00% to 87.65%"));
}

TEST_CASE("the answer tells what it knows of both N and of what is worth it", "[app][size]") {
  Sizing sizing;
  SizingBudget& budget = sizing.budgets.emplace_back();
  budget.name = "p99";
  budget.unit = "s";
  budget.limit = 0.05;
  sizing.conservative_candidates = 0;
  CHECK(sizing_answer(sizing) == "no stated budget limits N (conservative: not one)");
  sizing.conservative_candidates = 7;
  sizing.expected_candidates = 9;
  sizing.binding = "p99";
  sizing.budgets.back().binding = true;
  sizing.min_improvement = 0.675;
  sizing.min_candidates = 4;
  CHECK(sizing_answer(sizing) ==
        "at P99 50.0 ms score up to N = 9 (conservative: 7); P99 latency binds; worth it from N = 4 (improvement of "
        "67.5%)");
}

TEST_CASE("a least improvement that a tenth more puts out of reach is never had", "[app][size]") {
  SizingOptions options = of_r(0.25);
  options.min_improvement = 0.7;
  const std::string table = render_sizing(size("", options), "table", false, true);
  CHECK_THAT(table, Contains("minimum improvement  70.00%"));
  const std::size_t from = table.find("minimum improvement  70.00%");
  CHECK_THAT(table.substr(from, table.find('\n', from) - from), Contains("never"));
}

TEST_CASE("huge sizes are shown as they are", "[app][size]") {
  SizingOptions options = of_r(0.1);
  options.shape = "seed";
  options.memory_bytes = std::int64_t{1} << 40;
  options.users_cached = 1'000'000'000'000;
  const std::string answer = sizing_answer(*size("", options).sizing);
  CHECK_THAT(answer, Contains("memory: one candidate takes 266 EiB"));
  options.users_cached += 1;
  CHECK_THROWS_WITH(size("", options), Contains("--users-cached: '1000000000001' is out of range"));
  SizingOptions drops = of_r(0.1);
  drops.drop = 0.999999999;
  drops.target_drop = 1e-9;
  CHECK_THROWS_WITH(size("", drops), Contains("--target-drop") && Contains("a speed-up that no N reaches"));
}

TEST_CASE("cost without a rate is no fleet for one", "[app][size]") {
  SizingOptions options = of_r(0.1);
  options.naive_candidate_s = 0.001;
  options.price_per_hour = 2;
  const std::string table = render_sizing(size("", options), "table", false, true);
  CHECK_THAT(table, Contains("cost of requests") && !Contains("fleet for the request rate"));
}

TEST_CASE("numbers of the CSV that come from elsewhere than their row say so", "[app][size]") {
  const testing::TemporaryFolder folder;
  const std::string path = (folder.path() / "gpu.csv").string();
  testing::write_file(path, planted_csv());
  SizingOptions options;
  options.p99_s = 0.006;
  options.shape = "smoke";
  options.drop = 0.4;
  const std::string csv = render_sizing(size(path, options), "csv");
  const auto source = [&](const std::string& begin, const std::string& quantity) {
    for (std::size_t from = 0; from < csv.size(); from = csv.find('\n', from) + 1) {
      const std::string line = csv.substr(from, csv.find('\r', from) - from);
      if (line.starts_with(begin) && line.find("," + quantity + ",") != std::string::npos) {
        return line.substr(line.rfind(',') + 1);
      }
    }
    return std::string("no such row");
  };
  CHECK(source("sizing,", "limit") == "extrapolated");
  CHECK(source("sizing,", "drop") == "assumed");
  CHECK(source("budgets,0,", "limit") == "assumed");
  CHECK(source("budgets,0,", "used") == "fitted");
  CHECK(source("points,0,", "memory_bytes") == "computed");
  CHECK(source("points,0,", "drop_naive") == "assumed");
  CHECK(source("points,0,", "speedup") == "measured");
  CHECK(source("fractions,0,", "candidates") == "fitted");        // N = 9
  CHECK(source("fractions,4,", "candidates") == "extrapolated");  // N = 891
  CHECK(source("advice,1,", "design_note_improvement") == "assumed");
  CHECK(source("advice,1,", "improvement") == "fitted");
  CHECK(source("advice,3,", "improvement") == "extrapolated");
}

TEST_CASE("every number of the CSV has a unit or is a ratio, and a source", "[app][size]") {
  SizingOptions options = of_r(0.15);
  options.drop = 0.4;
  options.naive_candidate_s = 0.003;
  options.p99_s = 0.05;
  const std::string csv = render_sizing(size("", options), "csv");
  CHECK(csv.starts_with("section,row,item,quantity,value,lo,hi,text,unit,source\r\n"));
  std::size_t lines = 0;
  for (std::size_t from = csv.find('\n') + 1; from < csv.size(); from = csv.find('\n', from) + 1) {
    const std::string line = csv.substr(from, csv.find('\r', from) - from);
    INFO(line);
    const std::string source = line.substr(line.rfind(',') + 1);
    CHECK((source == "assumed" || source == "computed" || source == "fitted"));
    ++lines;
  }
  CHECK(lines > 300);
}
