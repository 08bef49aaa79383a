#include "fixed_report.h"

#include <limits>

#include "fitted_models.h"

namespace kvcast::golden {
namespace {

constexpr std::int64_t kGiB = 1024LL * 1024 * 1024;

SchemePoint timed(const std::string& scheme, Status status, std::int64_t candidates, std::int64_t measured,
                  double median, double half_width) {
  SchemePoint point;
  point.scheme = scheme;
  point.status = status;
  point.seconds = SecondsSummary{median, Interval{median - half_width, median + half_width}, 7};
  point.measured_candidates = measured;
  point.requests_per_s = 1 / median;
  point.candidates_per_s = static_cast<double>(candidates) / median;
  return point;
}

void add_work(SchemePoint& point, double flops, std::int64_t kv_bytes) {
  point.flops = flops;
  point.gflops_per_s = flops / point.seconds->median / 1e9;
  point.peak_fraction = *point.gflops_per_s / 105.25;
  point.time_over_minimum = 1 / *point.peak_fraction;
  point.kv_bytes = kv_bytes;
}

void add_speedup(SchemePoint& point, Estimate speedup, double predicted) {
  point.speedup = speedup;
  point.improvement = 1 - 1 / speedup.value;
  point.predicted_speedup = predicted;
}

SchemePoint skipped(const std::string& scheme, const std::string& reason) {
  SchemePoint point;
  point.scheme = scheme;
  point.status = Status::skipped;
  point.reason = reason;
  return point;
}

Case sharing_case() {
  Case one;
  one.shape = CaseShape{{1000, 768, 12, 12, 50, 4, 4, 100, 1, 1024, 3}, "fp32", "bf16", 2, "causal", true};

  one.equivalence =
      Equivalence{true, 4, 2, 4, 1.5e-5, 2.75e-5, 1.25e-4, std::nullopt, 3, "L=125, layers=2", std::nullopt, {}, true};
  one.equivalence->layers = LayerSamples{4, 96, 1004, 0.375, "V at position 83 of layer 2", true};
  one.equivalence->schemes = {
      {"naive", ErrorPair{3.75e-6, 1.25e-6}, std::nullopt, std::nullopt, std::nullopt, 1.0, 0.996, true},
      {"shared", ErrorPair{3.5e-6, 1.125e-6}, ErrorPair{0, 0}, 1.0, 1.0, 0.9, 0.9875, true},
      {"shared-copy", ErrorPair{4e-6, 1.5e-6}, ErrorPair{2.5e-6, 1e-6}, 2.0 / 3, 0.875, std::nullopt, std::nullopt,
       true},
  };

  one.after_timing = {
      {"naive", 2, "outputs", 0, 2, 1, 0, 2.75e-5, "naive", true},
      {"shared", 1000, "outputs", 1, 12, 999, 2.25e-6, 2.75e-5, "naive, shared", true},
      {"shared+head", 1000, "scores", 0, 2, 0, 1.5e-6, 1.25e-5, "float64", true},
  };

  Point one_candidate{1, {}};
  auto naive = timed("naive", Status::measured, 1, 1, 6.75, 0.125);
  naive.execution = Execution::within;
  add_work(naive, 6.4e11, 6150144);
  auto shared = timed("shared", Status::assembled, 1, 1, 6.875, 0.125);
  shared.execution = Execution::within;
  shared.prefill_s = 6.75;
  shared.scoring_s = 0.125;
  add_work(shared, 6.4e11, 307200000);
  add_speedup(shared, {0.9818, Interval{0.9712, 0.9925}}, 1);
  auto copy = timed("shared-copy", Status::assembled, 1, 1, 7, 0.25);
  copy.prefill_s = 6.75;
  copy.scoring_s = 0.25;
  add_work(copy, 6.4e11, 307200000);
  add_speedup(copy, {0.9643, std::nullopt}, 1);
  one_candidate.schemes = {naive, shared, copy};

  Point ten{10, {}};
  naive = timed("naive", Status::extrapolated, 10, 2, 67.5, 0.75);
  naive.execution = Execution::across;
  add_work(naive, 6.4e12, 12300288);
  shared = timed("shared", Status::assembled, 10, 10, 7.0625, 0.0625);
  shared.execution = Execution::within;
  shared.prefill_s = 6.75;
  shared.scoring_s = 0.3125;
  add_work(shared, 6.46e11, 307200000);
  add_speedup(shared, {9.5575, Interval{9.4801, 9.6355}}, 9.6012);
  shared.contention = Estimate{1.125, Interval{1.0625, 1.25}};
  ten.schemes = {naive, shared, skipped("shared-copy", "its caches need 3.072 GB; 2.5 GiB are left of max_memory")};

  shared.contention.reset();
  Point thousand{1000, {}};
  naive = timed("naive", Status::extrapolated, 1000, 2, 6750, 75);
  naive.execution = Execution::across;
  add_work(naive, 6.4e14, 12300288);
  shared = timed("shared", Status::assembled, 1000, 1000, 20.5, 0.03125);
  shared.execution = Execution::within;
  shared.prefill_s = 6.75;
  shared.scoring_s = 13.75;
  add_work(shared, 1.36e12, 307200000);
  add_speedup(shared, {329.27, Interval{326.41, 332.15}}, 341.5);
  shared.gain_over_shared = Estimate{1.4375, Interval{1.41, 1.465}};
  thousand.schemes = {
      naive, shared, skipped("shared-copy", "=cmd|' /C calc'!A0 \"quoted\", naïve 候选\nsecond line \x1b[31m\xff\xfe")};
  one.points = {one_candidate, ten, thousand};

  Fit fit;
  fit.scheme = "shared";
  fit.r = Estimate{0.002042, Interval{0.002013, 0.002071}};
  fit.rho = 0.0020462;
  fit.r_flops = 0.0010051;
  fit.asymptote = 489.72;
  fit.candidates_for_90 = 3587;
  fit.known_to = 4000;
  fit.r_squared = 0.99987;
  FittedModel law = testing::law_model(0.002042), affine = testing::affine_model(6.921, 0.013579, 6.75);
  law.marginal_r = fit.r;
  law.max_residual_pct = 3.4;
  law.loo_error_pct = 2.1;
  law.residuals = {{1, 1.8537, std::nullopt}, {10, 0.46, 0.457}};
  affine.marginal_r = Estimate{0.0020117, Interval{0.0019875, 0.0020359}};
  affine.max_residual_pct = 0.9;
  affine.loo_error_pct = 0.65;
  affine.residuals = {{1, 0.125, std::nullopt}, {10, -0.0625, -1.0 / 3}};
  fit.models = {law, affine};
  fit.preferred = "affine";
  fit.rounds = 7;
  fit.excluded_pairs = 1;
  fit.lack_of_fit_pct = 1.25;
  fit.identifiable = true;
  fit.verdict = "trust the affine form: it predicts the N left out three times as well; r is known to 1.4%";
  fit.next = "measure N = 4000, where the forms differ by 12%";
  fit.slowdowns = {"N = 1: shared is 1.8% slower than naive", "=\"quoted\"; naïve"};
  fit.observed = {{1, {0.9818, Interval{0.9712, 0.9925}}}, {10, {9.5575, std::nullopt}}};
  fit.predictions = {{std::nullopt, std::nullopt, 200, Estimate{142.5, Interval{139.25, 145.75}}, 1350, 9.5,
                      Source::interpolated, "affine", 0.65},
                     {2000, 25, 4000, Estimate{451.5, std::nullopt}, std::nullopt, std::nullopt, Source::extrapolated,
                      "surface", std::nullopt},
                     {std::nullopt, std::nullopt, 9000, std::nullopt, std::nullopt, std::nullopt, Source::extrapolated,
                      "", std::nullopt, "beyond 4 times the largest | measured N=1000: measure larger N"}};
  fit.explanation = Explanation{0.15,
                                {{10, 0.0051, 0.001, 0.003, 0.0005, 0.0001, 0.0005},
                                 {1000, 0.002042, 0.001, std::nullopt, std::nullopt, std::nullopt, 0.001042}},
                                "surface"};
  Fit untested;
  untested.scheme = "shared-copy";
  untested.asymptote = std::numeric_limits<double>::infinity();
  untested.models = {testing::law_model(0.5)};
  untested.models[0].max_residual_pct = std::numeric_limits<double>::quiet_NaN();
  untested.preferred = "untested";
  untested.rounds = 1;
  one.fits = {fit, untested};

  one.composition = {{"shared", 5, {1.0031, Interval{0.9952, 1.0111}}, true},
                     {"naive", 5, {1.052, Interval{1.021, 1.084}}, false},
                     {"shared-copy", 5, {0.998, std::nullopt}, true}};

  one.micro_batches = {{10, 5, "=packed-5", 1.75}, {1000, 50, "packed-50", 3.5}};
  one.profiles = {
      {"shared", "prefill", 0, 6.75, 412, 0.0009375, {{"matmul", 6.0, 6.0 / 6.75}, {"attention", 0.75, 0.75 / 6.75}}},
      {"naive", "forward", 2, 13.5, 0, 0, {}}};

  one.machine = MachineInfo{"Ampere Altra", "NEON", "sve", 80, 256 * kGiB, 64, 1843.2, std::nullopt, 160.5};
  one.self_check = {{"shared", std::nullopt, {1.0009, Interval{0.9978, 1.0041}}, Interval{0.9961, 1.0058}, true},
                    {"=naive", 10, {1.0312, std::nullopt}, std::nullopt, false}};

  one.memory = {{"shared", 1000, 311427072, 310378496, 307200000},
                {"=shared-copy", 1, 615000000, 614400000, 614400000}};

  one.samples = {
      {1, "naive", 0, Status::measured, 6.75, 1, std::nullopt, std::nullopt, 1, 105.25},
      {1, "shared", 0, Status::assembled, 6.875, 1, 6.75, 0.125, 0.9921875, 104.4375},
      {10, "shared", 0, Status::assembled, 7.0625, 10, 6.75, 0.3125, 0.984375},
      {10, "naive", 1, Status::extrapolated, 13.5, 2, std::nullopt, std::nullopt, 0.1},
      {1000, "shared", 1, Status::assembled, 1.0 / 3, 1000, 0.1, 0.2 + 0.1, std::numeric_limits<double>::quiet_NaN()},
  };
  return one;
}

/// A mask that cannot share: naive alone, nothing else known.
Case naive_only_case() {
  Case one;
  one.shape = CaseShape{{0, 64, 4, 1, 1, 4}, "fp32", "fp32", 1, "bidirectional", false};
  one.equivalence = Equivalence{false, 1,  std::nullopt, 0,  std::nullopt, std::nullopt, std::nullopt, std::nullopt,
                                0,     "", std::nullopt, {}, true};
  one.equivalence->schemes = {
      {"naive", std::nullopt, std::nullopt, std::nullopt, std::nullopt, std::nullopt, std::nullopt, true}};
  SchemePoint bare;
  bare.scheme = "naive";
  SchemePoint brief = timed("naive", Status::measured, 1000000, 1000000, 2.5e-4, 1e-6);
  brief.seconds->ci95 = Interval{2.49e-4, std::numeric_limits<double>::infinity()};
  one.points = {{1, {bare}}, {1000000, {brief}}};
  return one;
}

/// A row of everything, some of it unknown.
Traffic fixed_traffic() {
  Traffic traffic;
  traffic.workload = "=logs/naïve.csv";
  traffic.requests = 120000;
  traffic.users = 4321;
  traffic.duration_s = 600.5;
  traffic.requests_per_s = 199.75;
  traffic.log_rows = 1203;
  traffic.skipped_rows = 3;
  traffic.reading = {"timestamps read as epoch seconds (1.5 is <b>)", "=naïve \x1b[31m | 候选"};
  traffic.server = {4, ServeOrder::shortest, 0.002, 8};
  traffic.cache = {8589934592, 16, 3600.5};
  traffic.costs.breakpoints = {{0, 0.0005, 0.00025, 0.0001}, {1000, 0.0125, 0.00075, 0.000125}};
  traffic.costs.curve_candidates = {1, 50};
  traffic.costs.curve = {1, 0.875};
  traffic.costs.known_to = 200;
  traffic.costs.residuals = {0.875, 1, 1.25};
  traffic.costs.bytes_per_token = 8192;
  traffic.costs.source = Source::fitted;
  traffic.costs.threads = 4;
  traffic.costs.cpus = 8;
  traffic.costs.basis = "=out, surface over 6 shapes | 候选";
  traffic.replications = 10;
  traffic.saturated = false;
  traffic.p99_limit_s = 0.05;
  traffic.offered_load_workers = 3;
  traffic.assumptions = {"candidates are not in the log: 100 each", "=naïve \x1b[31m <b> | 候选"};
  traffic.columns = {{"history_length", "tokens", 245.5, 120, 900, 2500, 9000},
                     {"gap_s", "s", 0.005, 0.0035, 0.015, 0.0225, 0.25}};
  traffic.latencies = {
      {"mean", Estimate{0.02, Interval{0.0195, 0.0205}}, Estimate{0.005, std::nullopt}, ""},
      {"p99.9", std::nullopt, std::nullopt, "it needs about 300,000 requests in each replication"},
      {"p99", Estimate{0.045, Interval{0.0425, 0.0475}}, Estimate{0.0125, Interval{0.0115, 0.0135}}, ""}};
  traffic.figures = {{"utilisation", "0..1", Estimate{0.75, Interval{0.7475, 0.7525}}},
                     {"hit_rate", "0..1", Estimate{0.625, Interval{0.62, 0.63}}},
                     {"attainment", "0..1", Estimate{0.9925, std::nullopt}},
                     {"mean_queue", "", std::nullopt}};
  traffic.find = {{FindTarget::qps, "1/s", 240.5, Estimate{0.0495, Interval{0.048, 0.051}}, 242.75}};
  traffic.hit_rates = {{1073741824, 0.25, 0.1875, 0.26, 0.375, 0.5},
                       {8589934592, 0.625, 0.5625, std::nullopt, std::nullopt, std::nullopt}};
  traffic.capacity = {{100, 0.375, Estimate{0.025, Interval{0.0245, 0.0255}}, 2, false},
                      {400, 1.5, std::nullopt, 6, true}};
  traffic.windows = {{0, 200.5, 199.5, 1.25, 0.5, 0.045, 3, std::nullopt, true},
                     {300.25, 198.75, 0, 0, 0.75, std::nullopt, 3, 0.9375, false}};
  traffic.cdf = {{0.01, 0.5}, {0.045, 0.99}};
  traffic.replay = {{"throughput", "1/s", 199.5, 200.25, 0.376, 5, true},
                    {"p99_s", "s", 0.045, 0.0575, 27.75, 20, false},
                    {"hit_rate", "0..1", 0.625, 0.625, 0, std::nullopt, true}};
  return traffic;
}

Sizing fixed_sizing() {
  Sizing sizing;
  sizing.feasible = false;
  sizing.scheme = "=shared";
  sizing.history_length = 1000;
  sizing.layers = 50;
  sizing.expected_candidates = 3;
  sizing.known_to = 4000;
  sizing.conservative_candidates = 0;
  sizing.min_improvement = 0.8;
  sizing.min_candidates = 6;
  sizing.binding = "p99";
  sizing.source = Source::fitted;
  sizing.limit = 489.75;
  sizing.knee_candidates = 510;
  sizing.drop = Estimate{0.4, Interval{0.375, 0.4375}};
  sizing.drop_source = Source::measured;
  sizing.notes = {"P99 rests on 21 timings", "=naïve \x1b[31m | 候选"};
  sizing.changes = {{"p99", "s", 8, 8.25, true}, {"memory", "bytes", 1e9, 2.5e9, false}};
  sizing.budgets = {
      {"p99", "s", 8, 7.5, 6.25, 3, 0, true, true, Source::extrapolated},
      {"qps", "1/s", 200, std::nullopt, std::nullopt, std::nullopt, std::nullopt, true, false, Source::fitted}};
  sizing.inputs = {{"prefill_s", "s", 6.75, std::nullopt, Source::fitted, 4, std::nullopt},
                   {"r", "ratio", 0.002, Interval{0.0019, 0.0021}, Source::fitted, 3, 3}};
  sizing.points = {{3,
                    Source::fitted,
                    {2.9, Interval{2.8, 3.0}},
                    0.655,
                    0.97,
                    7,
                    20.25,
                    7.5,
                    8.5,
                    21,
                    0.5,
                    1.5,
                    80.5,
                    483,
                    4000000000,
                    8000000000,
                    3000000000,
                    0.4,
                    0.1379,
                    0.1869},
                   {6,
                    Source::extrapolated,
                    {5.5, std::nullopt},
                    0.818,
                    0.96,
                    std::nullopt,
                    std::nullopt,
                    std::nullopt,
                    std::nullopt,
                    std::nullopt,
                    std::nullopt,
                    std::nullopt,
                    std::nullopt,
                    std::nullopt,
                    std::nullopt,
                    std::nullopt,
                    std::nullopt,
                    std::nullopt,
                    std::nullopt,
                    std::nullopt}};
  sizing.fractions = {{0.5, 510, 245.5, 0.996, Source::extrapolated},
                      {0.9, std::nullopt, std::nullopt, std::nullopt, Source::extrapolated}};
  sizing.advice = {
      {"small pool", 5, 10, "medium", {0.68, 0.765}, Interval{0.79, 0.89}, "medium to best", Source::extrapolated},
      {"large scale", 200, std::nullopt, "best", {0.84575, 0.85}, Interval{0.99, 0.998}, "best", Source::extrapolated},
      {"beyond", 50, 5000, "=best", {0.833, 0.85}, std::nullopt, "", Source::extrapolated}};
  sizing.drop_targets = {
      {"LONGER (published)", 0.4, 0.068, 9.137, 1.553, 10, 0.1094, 10, std::nullopt, false, Source::fitted}};
  sizing.drop_reach = {{"LONGER (published)", 0.05, 16, Source::computed},
                       {"LONGER (published)", 0.15, std::nullopt, Source::computed}};
  sizing.memory = {{"bf16", 12, 153600000, 6.99, 15360000000, 100, 3075072, Source::computed}};
  sizing.frontiers = {{"history_length", "tokens", 2000, 1, 0, 4000, 1.0, 0.5, 0.5, Source::assumed},
                      {"qps", "1/s", 50, std::nullopt, std::nullopt, std::nullopt, std::nullopt, std::nullopt,
                       std::nullopt, Source::fitted}};
  sizing.parameters = {{"L", "1000", "500", 9, 200, Source::assumed},
                       {"dtype", "fp32", "bf16", std::nullopt, std::nullopt, Source::assumed}};
  sizing.alternatives = {{"naive instead of shared", 1, Source::fitted},
                         {"twice the workers", std::nullopt, Source::assumed}};
  sizing.fleet = {{3, "shared", 12, 24, 12, 0.75, 125.5, Source::fitted},
                  {3, "naive", std::nullopt, std::nullopt, std::nullopt, std::nullopt, std::nullopt, Source::fitted}};
  sizing.residuals = {0.875, 1, 1.25};
  sizing.models = {{1000,  50,         Source::fitted, {1, 10}, {6.7, 6.9},   {0.98, 9.6},    true,
                    false, 6.75,       0.0135,         6.7,     std::nullopt, std::nullopt,   1.0,
                    0.002, {10, 1000}, {0.03, 0.25},   1.5e9,   3.072e8,      {1, 512, 2048}, {3e8, 3.5e8, 4e8},
                    {}},
                   {std::nullopt,
                    std::nullopt,
                    Source::assumed,
                    {},
                    {},
                    {},
                    true,
                    true,
                    0.85,
                    0.15,
                    1,
                    0.05,
                    8,
                    std::nullopt,
                    std::nullopt,
                    {},
                    {},
                    0,
                    0,
                    {},
                    {},
                    {0.9, 1, 1.1}}};
  return sizing;
}

}  // namespace

Report fixed_report() {
  Report report;
  report.tool = {"0.1.0",
                 "0123456789abcdef0123456789abcdef01234567",
                 "GNU 12.2.0",
                 "Release",
                 {{"oneDNN", "2.6.3"}, {"Highway", "1.0.3"}}};
  report.machine =
      MachineInfo{"AMD EPYC 7B13 (naïve, \"quoted\")", "AVX2", "avx2", 2, 16 * kGiB, 2, 105.25, 210.5, 11.5};
  Config& config = report.config.emplace();
  config.comment = "=1+1 \"seed\", 用户 naïve";
  config.model = {{1000, 768, 12, 12, 50, 4, 4, 100, 1, 1024, 3}, Mask::causal, "=weights \"file\".safetensors"};
  config.run = {{1, 10, 1000},
                {"naive", "shared", "shared-copy", "packed", "cached", "append"},
                "fp32",
                "bf16",
                true,
                20,
                {10, 50},
                "avx2",
                2,
                2,
                2,
                1,
                true};
  config.sweep = {{}, {2, 50}, {1, 2}, {1, 2}};
  config.measure = {150, 0.02, false, false, true, 6 * kGiB};
  report.shard = Shard{2, 3};
  report.conditions = Conditions{7, StoppedBy::precision, 118.5, 2.25, true, 1, 0.125, 1.5, 3.75, 0.4, 2.0 / 3};
  report.cases = {sharing_case(), naive_only_case()};
  Surface surface{
      "shared",
      {{"naive", "dense FLOPs", "FLOP", 1.02e-11, 0.96875}, {"scoring", "weight bytes", "B", 0, 0}},
      25165824.0,
      1000,
      2000,
      2,
      50,
      1,
      1000,
      6,
      0.03125,
      {{"points", 12, 1.5, 3.25, 7.125}, {"shapes", 4, 2.5, 6.5, 9}},
      {{1000, 50, 10, "=shared", 7.1, 7.0625, 0.531}},
      {{2000, 25, 100, Estimate{88.5, Interval{80.25, 97}}, 1350, 15.25, Source::measured, "surface", 2.5}}};
  Surface bare;
  bare.scheme = "packed";
  report.surfaces = {surface, bare};
  report.degradation = {
      {1000,
       50,
       10,
       "naive",
       Status::extrapolated,
       40.5,
       67.5,
       {0.4, Interval{0.39, 0.41}},
       std::nullopt,
       std::nullopt},
      {std::nullopt, std::nullopt, 10, "=shared", Status::assembled, 40.5, 45, {0.1, std::nullopt}, 0.0625, 0.09375}};
  report.sizing = fixed_sizing();
  report.traffic = fixed_traffic();
  report.warnings = {
      {"slow-rounds", "1 of 21 pairs ran while the machine was slower than 90% of its best",
       "close other programs, or give a larger --budget"},
      {"=hostile", "tab\there, bad byte \xc3( and a quote \"", ""},
  };
  return report;
}

}  // namespace kvcast::golden
