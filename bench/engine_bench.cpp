// The engine against the FMA peak of the same run, untrimmed: interleaved rounds, medians with spread.
//
// A round times every item once, each between two bursts of the peak loop; an item's share of the peak is formed
// within the round, so that a machine that slows down slows both. Absolute times mean nothing elsewhere.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/problem.h"
#include "base/parallel.h"
#include "measure/machine.h"
#include "schemes/sharing.h"

namespace {

using namespace kvcast;

struct BenchShape {
  const char* name;
  std::int64_t history_length, dim, heads, layers;
};
// docs/performance.md: S and M are the presets default and seed (two layers of it), R is narrow and long.
constexpr BenchShape kShapes[] = {{"S", 256, 256, 4, 4}, {"M", 1000, 768, 12, 2}, {"R", 2000, 128, 4, 4}};

struct Item {
  std::string name;
  double flops;
  std::function<void()> run;
  std::vector<double> seconds, shares;  // per round
};

double quantile(std::vector<double> values, double p) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(p * static_cast<double>(values.size() - 1) + 0.5)];
}

// Attention of one layer alone: packed keys and values, random queries.
struct AttentionBench {
  AttentionBench(const BenchShape& s, std::int64_t rows, bool causal, int team)
      : threads(team),
        shape{s.heads, s.dim / s.heads, s.history_length},
        q(rows * s.dim),
        out(rows * s.dim),
        keys(shape.key_floats()),
        values(shape.value_floats()),
        per_thread((kernels::attention_scratch_floats(shape.head_dim) + 15) / 16 * 16),
        scratch(per_thread * team) {
    Buffer<float> k(s.history_length * s.dim), v(s.history_length * s.dim);
    seeded_history(1, s.history_length, s.dim, k.span());
    seeded_history(2, s.history_length, s.dim, v.span());
    seeded_candidates(1, 0, rows, s.dim, q.span());
    kernels::pack_kv(shape, k.data(), v.data(), s.dim, 0, s.history_length, 0, s.heads, keys.data(), values.data());
    args.heads = s.heads;
    args.q = q.data();
    args.q_stride = args.out_stride = s.dim;
    args.rows = rows;
    args.kv = {shape, keys.data(), values.data()};
    args.keys = s.history_length;
    args.causal = causal;
    args.out = out.data();
  }
  void run() {
    parallel_for(threads, kernels::attention_tasks(args), [this](std::int64_t task, int thread) {
      kernels::attention_task(args, task, scratch.data() + thread * per_thread);
    });
  }

  int threads;
  kernels::KvShape shape;
  Buffer<float> q, out, keys, values;
  std::int64_t per_thread;
  Buffer<float> scratch;
  kernels::AttentionArgs args;
};

void bench(const BenchShape& s, int threads, int rounds) {
  Config config;
  config.model.history_length = s.history_length;
  config.model.dim = s.dim;
  config.model.heads = config.model.kv_heads = s.heads;
  config.model.layers = s.layers;
  config.run.threads = threads;
  config.run.trim = false;
  const WorkShape work = app::work_shape(config);
  constexpr std::int64_t kMost = 100;
  const app::Problem problem(config, kMost);
  const auto naive = problem.make(*find_scheme("naive"), kMost);
  const auto shared = problem.make(*find_scheme("shared"), kMost);
  const std::vector<std::int64_t> counts = {1, 10, 50, 100};
  const std::int64_t unit = scheme_list().front().unit(s.history_length, threads);
  naive->prepare(std::vector<std::int64_t>{unit});
  shared->prepare(counts);
  std::vector<float> outputs(static_cast<std::size_t>(kMost * s.dim));

  std::vector<Item> items;
  for (std::size_t form = 0; form < naive->forms(); ++form) {
    naive->choose_form(form);
    items.push_back({"naive, " + naive->form_at(unit),
                     static_cast<double>(unit) * naive_flops(work),
                     [&, form] {
                       naive->choose_form(form);
                       naive->candidate_pass(problem.candidates().data(), unit, outputs.data());
                     },
                     {},
                     {}});
  }
  items.push_back({"history pass", history_flops(work), [&] { shared->user_pass(); }, {}, {}});
  for (const std::int64_t n : counts) {
    items.push_back({fmt::format("candidate pass, N={}", n),
                     static_cast<double>(n) * candidate_flops(work),
                     [&, n] { shared->candidate_pass(problem.candidates().data(), n, outputs.data()); },
                     {},
                     {}});
  }
  AttentionBench causal(s, s.history_length, true, threads);
  const double d = static_cast<double>(s.dim), length = static_cast<double>(s.history_length);
  items.push_back({"causal attention", 2 * d * length * (length + 1), [&] { causal.run(); }, {}, {}});
  std::vector<std::unique_ptr<AttentionBench>> fused;
  for (const std::int64_t n : counts) {
    fused.push_back(std::make_unique<AttentionBench>(s, n, false, threads));
    items.push_back({fmt::format("candidate attention, N={}", n),
                     4 * d * length * static_cast<double>(n),
                     [bench = fused.back().get()] { bench->run(); },
                     {},
                     {}});
  }

  std::vector<double> peaks;
  for (Item& item : items) item.run();
  for (int round = 0; round < rounds; ++round) {
    for (Item& item : items) {
      const double before = measure::fma_gflops(threads);
      const double start = measure::now();
      std::int64_t repeats = 0;
      do {
        item.run();
        ++repeats;
      } while (measure::now() - start < 5e-3);
      const double seconds = (measure::now() - start) / static_cast<double>(repeats);
      const double peak = std::max(before, measure::fma_gflops(threads));
      peaks.push_back(peak);
      item.seconds.push_back(seconds);
      item.shares.push_back(item.flops / seconds / 1e9 / peak);
    }
  }
  fmt::print("\n{}: L={} d={} heads={} layers={}, fp32, untrimmed, {} thread{}, FMA peak {:.0f} GFLOP/s, {} rounds\n",
             s.name, s.history_length, s.dim, s.heads, s.layers, threads, threads == 1 ? "" : "s", quantile(peaks, 0.5),
             rounds);
  fmt::print("{:<44} {:>10} {:>9} {:>7} {:>15} {:>10}\n", "", "ms", "GFLOP/s", "of peak", "10% .. 90%", "time/min");
  for (const Item& item : items) {
    const double seconds = quantile(item.seconds, 0.5), share = quantile(item.shares, 0.5);
    fmt::print("{:<44} {:>10.3f} {:>9.1f} {:>7.3f} {:>7.3f} .. {:.3f} {:>9.2f}\n", item.name, seconds * 1e3,
               item.flops / seconds / 1e9, share, quantile(item.shares, 0.1), quantile(item.shares, 0.9), 1 / share);
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Engine against the FMA peak measured in the same run");
  std::vector<int> threads = {1, 2};
  std::vector<std::string> shapes = {"S", "M", "R"};
  int rounds = 21;
  app.add_option("--threads", threads, "Thread counts")->delimiter(',')->check(CLI::Range(1, 256));
  app.add_option("--shapes", shapes, "Of S, M, R")->delimiter(',')->check(CLI::IsMember({"S", "M", "R"}));
  app.add_option("--rounds", rounds, "Interleaved rounds")->check(CLI::Range(3, 1000));
  CLI11_PARSE(app, argc, argv);
  const MachineInfo machine = kvcast::machine_info(0);
  fmt::print("{}, {}, {} CPUs\n", machine.cpu_model, machine.isa, machine.threads);
  for (const int team : threads) {
    for (const BenchShape& shape : kShapes) {
      if (std::find(shapes.begin(), shapes.end(), shape.name) != shapes.end()) bench(shape, team, rounds);
    }
  }
  return 0;
}
