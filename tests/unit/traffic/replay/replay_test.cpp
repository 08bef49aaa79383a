// The replay on small shapes: its outputs, the order of service, and what it says of what it did. No timings.
#include "traffic/replay/replay.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "catch.h"
#include "engine/builtin/builtin.h"
#include "engine/builtin/schemes/check.h"
#include "engine/problem.h"
#include "traffic/replay/server.h"

using namespace kvcast;
using namespace kvcast::traffic;

namespace {

Config small_model() {
  Config config;
  config.model.dim = 24;
  config.model.heads = 6;
  config.model.kv_heads = 2;
  config.model.layers = 3;
  config.run.dtype = config.run.kv_dtype = "fp32";
  config.run.threads = 1;
  config.run.seed = 3;
  return config;
}

// A cache of so many tokens.
ReplayOptions options_of(const Config& config, std::int64_t tokens) {
  ReplayOptions options;
  const ModelShape shape = model_shape(config);
  options.cache.bytes = tokens * (static_cast<std::int64_t>(KvCache::all_layers_bytes(shape, 1, 64, 0)) / 64);
  options.seed = 11;
  options.windows = 3;
  return options;
}

// Every kind of visit: new, grown within a slot and beyond one, back with nothing new, shrunk, evicted and back,
// without a history, without candidates.
std::vector<Request> every_kind() {
  return {{0.000, 1, 30, 5},   {0.001, 1, 37, 5},  {0.002, 1, 37, 4},   {0.003, 2, 70, 3}, {0.004, 1, 130, 3},
          {0.005, 1, 90, 3},   {0.006, 3, 129, 2}, {0.007, 4, 200, 2},  {0.008, 1, 91, 6}, {0.009, 4, 201, 1},
          {0.010, 5, 0, 3},    {0.011, 4, 201, 0}, {0.012, 4, 203, 7},  {0.013, 2, 75, 1}, {0.014, 2, 75, 1},
          {0.015, 6, 1000, 2}, {0.016, 2, 76, 1},  {0.017, 6, 1000, 2}, {0.018, 6, 999, 1}};
}

// The same in float64, by the mask, from the tokens that the replay says it used.
double worst_error(const Replay& replay, const Config& config, const ReplayResult& result, const ReplayOptions& options,
                   std::size_t every, double* largest) {
  const ModelShape shape = model_shape(config);
  const Items items(shape.dim, options.seed);
  const TensorSource source = seeded_weights(shape, static_cast<std::uint64_t>(config.run.seed), 1);
  double worst = 0;
  for (std::size_t i = 0; i < result.requests.size(); i += every) {
    const ReplayedRequest& r = result.requests[i];
    const std::int64_t count = r.request.candidates, length = r.lookup.length;
    std::vector<float> history(static_cast<std::size_t>(length * shape.dim)),
        candidates(static_cast<std::size_t>(count * shape.dim));
    for (std::int64_t t = 0; t < length; ++t) {
      const std::int64_t row = config.model.mask == Mask::history_blind ? length - 1 - t : t;
      items.history(r.request.user, r.request.history - length + t, 1, history.data() + row * shape.dim);
    }
    items.candidates(static_cast<std::int64_t>(i), count, candidates.data());
    const std::span<const float> outputs = replay.outputs(i);
    REQUIRE(outputs.size() == candidates.size());
    const std::vector<double> truth =
        reference_shared_outputs(shape, source, history, config.model.mask, candidates, 1);
    for (std::size_t k = 0; k < truth.size(); ++k) {
      *largest = std::max(*largest, std::abs(truth[k]));
      worst = worse(worst, std::abs(static_cast<double>(outputs[k]) - truth[k]));
    }
  }
  return worst;
}

std::size_t count_of(const ReplayResult& result, Found found) {
  return static_cast<std::size_t>(std::count_if(result.requests.begin(), result.requests.end(),
                                                [&](const ReplayedRequest& r) { return r.lookup.found == found; }));
}

}  // namespace

TEST_CASE("every kind of request is answered as float64 does", "[replay]") {
  struct Variant {
    std::string dtype, kv_dtype;
    Mask mask;
    std::int64_t from_layer, threads;
  };
  for (const Variant& v : std::vector<Variant>{{"fp32", "fp32", Mask::causal, 0, 1},
                                               {"fp32", "fp32", Mask::history_blind, 0, 2},
                                               {"fp32", "fp32", Mask::causal, 2, 1},
                                               {"fp32", "bf16", Mask::causal, 0, 1},
                                               {"bf16", "bf16", Mask::causal, 0, 1}}) {
    Config config = small_model();
    config.run.dtype = v.dtype;
    config.run.kv_dtype = v.kv_dtype;
    config.model.mask = v.mask;
    config.model.candidate_from_layer = v.from_layer;
    ReplayOptions options = options_of(config, 300);
    options.max_history = 256;
    options.threads = v.threads;
    options.closed_loop = true;
    Replay replay(builtin_engine(), config, every_kind(), options);
    CHECK_NOTHROW(replay.check());
    replay.keep_outputs(true);
    const ReplayResult result = replay.run({});
    REQUIRE(result.requests.size() == every_kind().size());
    // Nothing of this may be left out of what is judged.
    for (const Found found : {Found::nothing, Found::changed, Found::part, Found::all}) {
      CHECK(count_of(result, found) > 0);
    }
    CHECK(result.cache.evictions > 0);
    CHECK(result.grown > 0);
    CHECK(result.late == 0);
    CHECK(result.made == 0);
    double largest = 0;
    const double error = worst_error(replay, config, result, options, 1, &largest);
    CAPTURE(v.dtype, v.kv_dtype, to_string(v.mask), v.from_layer, v.threads, error);
    // As in the conformance suite: rounding, in bf16 of a dozen operands a layer (docs/model.md §7).
    CHECK(error < (v.dtype == "bf16"      ? 0.05 * static_cast<double>(config.model.layers)
                   : v.kv_dtype == "bf16" ? 0.02 * static_cast<double>(config.model.layers)
                                          : 1e-4));
    CHECK(largest > 0.5);
  }
}

TEST_CASE("one worker finds what the policy alone finds, first come first served", "[replay]") {
  const Config config = small_model();
  for (const bool closed : {false, true}) {
    ReplayOptions options = options_of(config, 300);
    options.closed_loop = closed;
    options.max_history = 256;
    options.warm_up = 4;
    const std::vector<Request> requests = every_kind();
    Replay replay(builtin_engine(), config, requests, options);
    const ReplayResult result = replay.run({});
    UserCache alone(options.cache, KvCache::all_layers_bytes(model_shape(config), 1, 64, 0) / 64, options.max_history);
    REQUIRE(result.requests.size() == requests.size());
    CHECK(result.stopped_by == StoppedBy::end);
    double last = 0;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (i == 4) alone.reset_counts();
      const Lookup lookup = alone.find(requests[i], requests[i].arrival_s);
      alone.keep(requests[i], requests[i].arrival_s);
      const ReplayedRequest& r = result.requests[i];
      CAPTURE(closed, i);
      CHECK(r.request.user == requests[i].user);
      CHECK(r.lookup.found == lookup.found);
      CHECK(r.lookup.known == lookup.known);
      CHECK(r.lookup.length == lookup.length);
      CHECK(r.start_s >= last);
      CHECK(r.end_s >= r.start_s);
      if (!closed) CHECK(r.start_s >= r.request.arrival_s);
      last = r.end_s;
    }
    CHECK(result.cache.requests == alone.counts().requests);
    CHECK(result.cache.found_all == alone.counts().found_all);
    CHECK(result.cache.found_part == alone.counts().found_part);
    CHECK(result.cache.evictions == alone.counts().evictions);
    CHECK(result.cache.known_tokens == alone.counts().known_tokens);
    CHECK(result.cache.bytes == alone.counts().bytes);
    std::size_t covered = 0;
    for (const ReplayWindow& window : result.windows) {
      CHECK(window.first == covered);
      covered += window.count;
    }
    CHECK(covered == requests.size());
  }
}

TEST_CASE("two workers answer every request once, rightly and in order", "[replay]") {
  if (std::thread::hardware_concurrency() < 2) return;
  const Config config = small_model();
  // The same few users over and over, so that two requests of one are often served at once.
  std::vector<Request> requests;
  for (int i = 0; i < 150; ++i) {
    const int user = i % 7 % 3;
    requests.push_back({1e-5 * i, static_cast<std::uint64_t>(user), 20 + 40 * user + i / 10, 1 + i % 3});
  }
  for (const std::int64_t tokens : {0, 130, 1000}) {
    ReplayOptions options = options_of(config, tokens);
    options.workers = 2;
    options.closed_loop = true;
    Replay replay(builtin_engine(), config, requests, options);
    replay.keep_outputs(true);
    const ReplayResult result = replay.run({});
    REQUIRE(result.requests.size() == requests.size());
    CHECK(result.cache.requests == 150);
    double last = 0;
    bool both[2] = {};
    for (std::size_t i = 0; i < requests.size(); ++i) {
      CHECK(result.requests[i].request.history == requests[i].history);
      CHECK(result.requests[i].start_s >= last);
      last = result.requests[i].start_s;
      both[result.requests[i].worker] = true;
    }
    CHECK((both[0] && both[1]));
    double largest = 0;
    CHECK(worst_error(replay, config, result, options, 2, &largest) < 1e-4);
    // The memory is free again.
    CHECK(replay.run({}).requests.size() == requests.size());
  }
}

TEST_CASE("what was served is kept when a replay ends early", "[replay]") {
  const Config config = small_model();
  std::vector<Request> requests;
  for (int i = 0; i < 2000; ++i) requests.push_back({1e-3 * i, static_cast<std::uint64_t>(i % 10), 20, 2});
  ReplayOptions options = options_of(config, 1000);
  SECTION("by its caller") {
    int asked = 0;
    Observer observer;
    observer.stop_requested = [&] { return ++asked > 2; };
    Replay replay(builtin_engine(), config, requests, options);
    const ReplayResult result = replay.run(observer);
    CHECK(result.stopped_by == StoppedBy::interrupt);
    CHECK(!result.requests.empty());
    CHECK(result.requests.size() < requests.size());
    CHECK(result.cache.requests == static_cast<std::int64_t>(result.requests.size()));
    CHECK(figures(result, false).requests == static_cast<std::int64_t>(result.requests.size()));
  }
  SECTION("by its budget") {
    options.budget_s = 0.1;
    options.closed_loop = GENERATE(false, true);
    if (options.closed_loop) {
      for (Request& request : requests) request.candidates = 100;
    }
    Replay replay(builtin_engine(), config, requests, options);
    const ReplayResult result = replay.run({});
    CHECK(result.stopped_by == StoppedBy::budget);
    CHECK(!result.requests.empty());
    CHECK(result.requests.size() < requests.size());
  }
}

TEST_CASE("a calibration is a table of the lengths that the requests have", "[replay]") {
  const Config config = small_model();
  ReplayOptions options = options_of(config, 300);
  options.max_history = 256;
  Replay replay(builtin_engine(), config, every_kind(), options);
  const Calibration calibration = replay.calibrate(0.05, {});
  const std::vector<ServiceBreakpoint>& breakpoints = calibration.costs.breakpoints;
  REQUIRE(breakpoints.size() > 2);
  CHECK(breakpoints[0].history_length == 0);
  CHECK(breakpoints[1].history_length == 30);
  CHECK(breakpoints.back().history_length == 256);
  for (std::size_t i = 0; i + 1 < breakpoints.size(); ++i) {
    CHECK(breakpoints[i].history_length < breakpoints[i + 1].history_length);
    CHECK(breakpoints[i].history_s <= breakpoints[i + 1].history_s);
    CHECK(breakpoints[i].candidate_s >= 0);
  }
  CHECK(breakpoints.back().history_s > 0);
  CHECK(!calibration.appends.empty());
  CHECK(std::is_sorted(calibration.costs.residuals.begin(), calibration.costs.residuals.end()));
  CHECK(calibration.costs.bytes_per_token == KvCache::all_layers_bytes(model_shape(config), 1, 64, 0) / 64);
  CHECK(calibration.costs.source == Source::measured);
  CHECK(calibration.timings > 0);
  // It leaves the replay as it was.
  const ReplayResult result = replay.run({});
  CHECK(result.requests.size() == every_kind().size());
}

TEST_CASE("what cannot be replayed is refused by name", "[replay]") {
  const std::vector<Request> requests = every_kind();
  const auto refused = [&](const Config& config, const ReplayOptions& options) -> std::string {
    try {
      Replay replay(builtin_engine(), config, requests, options);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  };
  const auto names = [](const std::string& message, const std::string& field) { return message.rfind(field, 0) == 0; };
  Config config = small_model();
  const ReplayOptions options = options_of(config, 300);
  config.model.mask = Mask::bidirectional;
  CHECK(names(refused(config, options), "model.mask: bidirectional"));
  config = small_model();
  config.model.query_tokens = 4;
  CHECK(names(refused(config, options), "model.query_tokens"));
  config = small_model();
  config.model.token_merge = 2;
  CHECK(names(refused(config, options), "model.token_merge"));
  config = small_model();
  config.model.import = "weights.safetensors";
  CHECK(names(refused(config, options), "model.import"));
  config = small_model();
  config.model.head_width = 8;
  CHECK(names(refused(config, options), "model.head_width"));
  config = small_model();
  ReplayOptions few = options;
  few.workers = 100000;
  CHECK(names(refused(config, few), "--workers"));
  few = options;
  few.memory_bytes = 1000;
  CHECK(names(refused(config, few), "--"));
}

TEST_CASE("figures of a closed and of an open replay", "[replay]") {
  ReplayResult result;
  result.workers = 2;
  // Ten requests of 1 s each that wait 0, 1, ... 9 s; two windows, the second disturbed.
  for (int i = 0; i < 10; ++i) {
    ReplayedRequest r;
    r.request = {0.0, 1, 100, 5};
    r.lookup = {i % 2 == 0 ? Found::nothing : Found::part, i % 2 == 0 ? 0 : 80, 100};
    r.start_s = i;
    r.end_s = i + 1;
    r.clean = i < 5;
    result.requests.push_back(r);
  }
  result.windows = {{0, 5, 1.0, 0.0, 0.0, true}, {5, 5, 0.5, 0.0, 0.0, false}};
  ReplayFigures all = figures(result, false);
  CHECK(all.requests == 10);
  CHECK(all.requests_per_s == Approx(1));
  CHECK(all.mean_s == Approx(5.5));
  CHECK(all.p50_s == Approx(5.5));
  CHECK(all.p99_s == Approx(9.91));
  CHECK(all.hit_rate == Approx(0.5));
  CHECK(all.token_hit_rate == Approx(0.4));
  const ReplayFigures clean = figures(result, true);
  CHECK(clean.requests == 5);
  CHECK(clean.requests_per_s == Approx(1));
  CHECK(clean.p50_s == Approx(3));
  CHECK(clean.hit_rate == Approx(0.4));
  result.closed_loop = true;
  all = figures(result, false);
  CHECK(all.requests_per_s == Approx(2));
  CHECK(all.p99_s == Approx(1));
  result.warm_up = 8;
  CHECK(figures(result, false).requests == 2);
}
