// The engine against the peak of the same run and against other implementations of the same model, interleaved.
//
// A round times every row once, each between two bursts of the peak loop, so that a machine that slows down slows
// both; ratios are formed within a round. Peers are processes of their own (bench/peers). Absolute times mean nothing
// elsewhere.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "app/export.h"
#include "app/problem.h"
#include "base/parallel.h"
#include "engine/builtin/kernels/machine.h"
#include "engine/builtin/schemes/scheme.h"
#include "measure/machine.h"
#include "peer.h"
#include "statistics/statistics.h"

namespace {

using namespace kvcast;
using Json = nlohmann::json;

struct BenchShape {
  const char* name;
  std::int64_t history_length, dim, heads, layers;
};
// docs/performance.md: S and M are the presets default and seed (two layers of it), R is narrow and long.
constexpr BenchShape kShapes[] = {{"S", 256, 256, 4, 4}, {"M", 1000, 768, 12, 2}, {"R", 2000, 128, 4, 4}};
constexpr std::int64_t kMost = 100;
constexpr double kLeastSeconds = 5e-3;  // shorter runs are repeated until they fill it

struct Row {
  std::string name, by;                         ///< what, and who computes it
  double flops = 0;                             ///< of one run
  bool bf16 = false;                            ///< judged by the bf16 peak
  std::function<double()> run;                  ///< seconds
  std::string versus;                           ///< row (same run) that it is set against, "" for none
  std::vector<double> seconds, shares, ratios;  ///< per round; ratios: its throughput over that of `versus`
};

double quantile(std::vector<double> values, double p) {
  if (values.empty()) return NAN;
  std::sort(values.begin(), values.end());
  return sorted_quantile(values, p);
}

// Mean seconds of `run`, repeated until it fills kLeastSeconds.
double repeated(const std::function<void()>& run) {
  const double start = measure::now();
  std::int64_t repeats = 0;
  do {
    run();
    ++repeats;
  } while (measure::now() - start < kLeastSeconds);
  return (measure::now() - start) / static_cast<double>(repeats);
}

// Attention of one layer alone: packed keys and values, random queries.
class AttentionBench {
 public:
  AttentionBench(const BenchShape& s, std::int64_t rows, bool causal, kernels::Element element, int threads)
      : threads_(threads),
        shape_{s.heads, s.dim / s.heads, s.history_length, element},
        q_(rows * s.dim * element_bytes(element)),
        out_(rows * s.dim * element_bytes(element)),
        keys_(shape_.key_bytes()),
        values_(shape_.value_bytes()),
        per_thread_((kernels::attention_scratch_floats(shape_) + 15) / 16 * 16),
        scratch_(per_thread_ * threads) {
    Buffer<float> k(s.history_length * s.dim), v(s.history_length * s.dim), q(rows * s.dim);
    seeded_history(1, s.history_length, s.dim, k.span());
    seeded_history(2, s.history_length, s.dim, v.span());
    seeded_candidates(1, 0, rows, s.dim, q.span());
    kernels::pack_kv(shape_, kernels::Element::f32, k.data(), v.data(), s.dim, 0, s.history_length, 0, s.heads,
                     keys_.data(), values_.data());
    if (element == kernels::Element::bf16) {
      kernels::narrow(q.data(), q.size(), reinterpret_cast<kernels::Bf16*>(q_.data()));
    } else {
      std::copy_n(reinterpret_cast<const std::byte*>(q.data()), q_.size(), q_.data());
    }
    args_.element = element;
    args_.heads = s.heads;
    args_.q = q_.data();
    args_.q_stride = args_.out_stride = s.dim;
    args_.rows = rows;
    args_.kv = {shape_, keys_.data(), values_.data()};
    args_.keys = s.history_length;
    args_.causal = causal;
    args_.out = out_.data();
    args_.parts = causal ? 1 : kernels::attention_parts(s.heads, s.history_length);
    partial_ = Buffer<float>(kernels::attention_partial_floats(args_));
    args_.partial = partial_.data();
  }
  void run() {
    parallel_for(threads_, kernels::attention_tasks(args_), [this](std::int64_t task, int thread) {
      kernels::attention_task(args_, task, scratch_.data() + thread * per_thread_);
    });
    parallel_for(threads_, kernels::attention_merges(args_),
                 [this](std::int64_t merge, int) { kernels::attention_merge(args_, merge); });
  }
  /// A plain read of the keys and values: what memory allows where rows are few.
  void read() {
    parallel_for(threads_, 2 * shape_.kv_heads, [this](std::int64_t task, int) {
      const bool k = task % 2 == 0;
      const std::int64_t bytes = k ? shape_.key_bytes_per_head() : shape_.value_bytes_per_head();
      const auto* from = reinterpret_cast<const float*>((k ? keys_ : values_).data() + task / 2 * bytes);
      sink_ = kernels::read_all({from, static_cast<std::size_t>(bytes / 4)});
    });
  }

 private:
  int threads_;
  kernels::KvShape shape_;
  Buffer<std::byte> q_, out_, keys_, values_;
  std::int64_t per_thread_;
  Buffer<float> scratch_, partial_;
  kernels::AttentionArgs args_;
  volatile float sink_ = 0;
};

// The schemes of one dtype, with what they need.
struct Engine {
  Engine(Config config, const std::string& dtype)
      : problem(
            [&] {
              config.run.dtype = config.run.kv_dtype = dtype;
              return config;
            }(),
            kMost) {
    const std::int64_t unit = app::baseline().entry->unit(app::scheme_size(config, {}, kMost));
    naive = problem.make(app::baseline(), kMost);
    shared = problem.make({"shared", find_scheme("shared"), {}}, kMost);
    naive->prepare(std::vector<std::int64_t>{unit});
    shared->prepare(std::vector<std::int64_t>{1, 10, 50, 100});
    outputs.resize(static_cast<std::size_t>(kMost * problem.shape().dim));
    count = unit;
  }
  void forward(Scheme& scheme, std::int64_t n) {
    scheme.candidate_pass(problem.candidates().data(), n, outputs.data());
  }
  app::Problem problem;
  std::unique_ptr<Scheme> naive, shared;
  std::vector<float> outputs;
  std::int64_t count = 0;  ///< candidates of a naive run
};

struct Settings {
  int rounds = 21;
  bool trim = false, peers = true;
  std::filesystem::path folder;  ///< of this program: peers and cases are below
};

std::vector<std::unique_ptr<bench::Peer>> start_peers(const app::Problem& problem, const BenchShape& s, int threads,
                                                      const Settings& settings) {
  std::vector<std::unique_ptr<bench::Peer>> peers;
  const auto commands = bench::installed_peers((settings.folder / "peers").string());
  if (!settings.peers || settings.trim || commands.empty()) return peers;
  const std::string file = (settings.folder / (std::string("case-") + s.name + ".safetensors")).string();
  const auto naive = problem.make(app::baseline(), kMost);
  app::export_case(problem, {{app::baseline(), naive.get(), kMost}}, {kMost, false}, file);
  for (const bench::PeerCommand& command : commands) {
    try {
      peers.push_back(std::make_unique<bench::Peer>(command.with(file, threads)));
    } catch (const bench::PeerError& error) {
      fmt::print(stderr, "without {}: {}\n", command.path, error.what());
    }
  }
  return peers;
}

Json table(const BenchShape& s, int threads, const Settings& settings) {
  Config config;
  config.model.history_length = s.history_length;
  config.model.dim = s.dim;
  config.model.heads = config.model.kv_heads = s.heads;
  config.model.layers = s.layers;
  config.run.threads = threads;
  config.run.trim = settings.trim;
  config.run.kv_dtype = "fp32";
  const WorkShape work = app::work_shape(config);
  const double c_f = candidate_flops(work), c_u = history_flops(work);
  std::vector<std::unique_ptr<Engine>> engines;
  std::vector<Row> rows;
  const bool bf16_here = kernels::bf16_dot_burst_flops(1) > 0;
  std::vector<std::string> dtypes = {"fp32"};
  if (bf16_here) dtypes.emplace_back("bf16");

  for (const std::string& dtype : dtypes) {
    engines.push_back(std::make_unique<Engine>(config, dtype));
    Engine* e = engines.back().get();
    const bool bf16 = dtype == "bf16";
    const std::string by = "kvcast " + dtype;
    const auto add = [&](const std::string& name, double flops, const std::function<void()>& run) {
      rows.push_back(
          {name, by, flops, bf16, [run] { return repeated(run); }, bf16 ? name + "/kvcast fp32" : "", {}, {}, {}});
    };
    const std::size_t form = e->naive->forms() == 1 ? 0 : [&] {
      std::vector<double> best(e->naive->forms(), INFINITY);
      for (int i = 0; i < 6; ++i) {
        const auto f = static_cast<std::size_t>(i) % best.size();
        e->naive->choose_form(f);
        best[f] = std::min(best[f], repeated([&] { e->forward(*e->naive, e->count); }));
      }
      return static_cast<std::size_t>(std::min_element(best.begin(), best.end()) - best.begin());
    }();
    e->naive->choose_form(form);
    add("naive", static_cast<double>(e->count) * naive_flops(work), [e] { e->forward(*e->naive, e->count); });
    add("shared(10)", c_u + 10 * c_f, [e] {
      e->shared->user_pass();
      e->forward(*e->shared, 10);
    });
    add("shared(100)", c_u + 100 * c_f, [e] {
      e->shared->user_pass();
      e->forward(*e->shared, 100);
    });
    add("history", c_u, [e] { e->shared->user_pass(); });
    for (const std::int64_t n : {1, 10, 50, 100}) {
      add(fmt::format("candidates({})", n), static_cast<double>(n) * c_f, [e, n] { e->forward(*e->shared, n); });
    }
  }

  // The same on one thread, for the scaling of the forward.
  std::unique_ptr<Engine> alone;
  if (threads > 1) {
    Config one = config;
    one.run.threads = 1;
    alone = std::make_unique<Engine>(one, "fp32");
    Engine* e = alone.get();
    rows.push_back({"naive",
                    "1 thread",
                    static_cast<double>(e->count) * naive_flops(work),
                    false,
                    [e] { return repeated([e] { e->forward(*e->naive, e->count); }); },
                    "naive/kvcast fp32",
                    {},
                    {},
                    {}});
  }

  const auto peers = start_peers(engines.front()->problem, s, threads, settings);
  for (const auto& peer : peers) {
    const auto add = [&](const std::string& name, const std::string& request, double flops) {
      rows.push_back({name,
                      peer->name(),
                      flops,
                      false,
                      [p = peer.get(), request] {
                        double total = 0;
                        std::int64_t repeats = 0;
                        do {
                          const bench::PeerAnswer answer = p->request(request);
                          if (answer.max_rel_error > 1e-3)
                            throw bench::PeerError(p->name() + " computes something else");
                          total += answer.seconds;
                          ++repeats;
                        } while (total < kLeastSeconds);
                        return total / static_cast<double>(repeats);
                      },
                      name + "/kvcast fp32",
                      {},
                      {},
                      {}});
    };
    add("naive", "naive 1", naive_flops(work));
    add("shared(10)", "shared 10", c_u + 10 * c_f);
    add("shared(100)", "shared 100", c_u + 100 * c_f);
  }

  const double d = static_cast<double>(s.dim), length = static_cast<double>(s.history_length);
  std::vector<std::unique_ptr<AttentionBench>> attention;
  for (const kernels::Element element : {kernels::Element::f32, kernels::Element::bf16}) {
    const bool bf16 = element == kernels::Element::bf16;
    if (bf16 && !bf16_here) continue;
    const std::string by = bf16 ? "kvcast bf16" : "kvcast fp32";
    const auto add = [&](const std::string& name, std::int64_t n, bool causal, double flops) {
      attention.push_back(std::make_unique<AttentionBench>(s, n, causal, element, threads));
      AttentionBench* a = attention.back().get();
      rows.push_back({name,
                      by,
                      flops,
                      bf16,
                      [a] { return repeated([a] { a->run(); }); },
                      bf16 ? name + "/kvcast fp32" : "",
                      {},
                      {},
                      {}});
      return a;
    };
    add("attention, causal", s.history_length, true, 2 * d * length * (length + 1));
    for (const std::int64_t n : {1, 5, 10, 50, 100}) {
      const std::string name = fmt::format("attention, N={}", n);
      AttentionBench* a = add(name, n, false, 4 * d * length * static_cast<double>(n));
      if (n == 1) {
        // As if it did the same work: its ratio to the row above is then that of the times.
        rows.push_back({"plain read of K and V",
                        by + " bytes",
                        4 * d * length,
                        bf16,
                        [a] { return repeated([a] { a->read(); }); },
                        name + "/" + by,
                        {},
                        {},
                        {}});
      }
    }
  }

  for (Row& row : rows) row.run();
  std::vector<double> peaks, bf16_peaks;
  for (int round = 0; round < settings.rounds; ++round) {
    for (Row& row : rows) {
      const auto peak = [&] { return row.bf16 ? measure::bf16_gflops(threads) : measure::fma_gflops(threads); };
      const double before = peak();
      const double seconds = row.run();
      const double most = std::max(before, peak());
      (row.bf16 ? bf16_peaks : peaks).push_back(most);
      row.seconds.push_back(seconds);
      row.shares.push_back(row.flops / seconds / 1e9 / most);
    }
  }
  for (Row& row : rows) {
    const auto base = std::find_if(rows.begin(), rows.end(),
                                   [&](const Row& other) { return other.name + "/" + other.by == row.versus; });
    if (row.versus.empty() || base == rows.end()) continue;
    for (std::size_t i = 0; i < row.seconds.size(); ++i) {
      row.ratios.push_back((row.flops / row.seconds[i]) / (base->flops / base->seconds[i]));
    }
  }

  Json out = {{"shape", s.name},
              {"history_length", s.history_length},
              {"dim", s.dim},
              {"heads", s.heads},
              {"layers", s.layers},
              {"threads", threads},
              {"trim", settings.trim},
              {"rounds", settings.rounds},
              {"peak_gflops", quantile(peaks, 0.5)},
              {"bf16_peak_gflops", bf16_peaks.empty() ? Json(nullptr) : Json(quantile(bf16_peaks, 0.5))},
              {"rows", Json::array()}};
  fmt::print("\n{}: L={} d={} heads={} layers={}, {}, {} thread{}, {} rounds; peak {:.0f} GFLOP/s fp32", s.name,
             s.history_length, s.dim, s.heads, s.layers, settings.trim ? "trimmed" : "untrimmed", threads,
             threads == 1 ? "" : "s", settings.rounds, quantile(peaks, 0.5));
  if (!bf16_peaks.empty()) fmt::print(", {:.0f} bf16", quantile(bf16_peaks, 0.5));
  fmt::print("\n{:<22} {:<22} {:>9} {:>8} {:>7} {:>8} {:>15}  {}\n", "", "", "ms", "GFLOP/s", "of peak", "time/min",
             "10% .. 90%", "speed over kvcast fp32");
  for (const Row& row : rows) {
    const double seconds = quantile(row.seconds, 0.5), share = quantile(row.shares, 0.5);
    std::string ratio;
    if (!row.ratios.empty()) {
      ratio = fmt::format("{:.2f} ({:.2f} .. {:.2f})", quantile(row.ratios, 0.5), quantile(row.ratios, 0.1),
                          quantile(row.ratios, 0.9));
      if (row.versus != row.name + "/kvcast fp32") ratio += " of " + row.versus.substr(0, row.versus.find('/'));
    }
    fmt::print("{:<22} {:<22} {:>9.3f} {:>8.1f} {:>7.3f} {:>8.2f} {:>6.2f} .. {:.2f}    {}\n", row.name, row.by,
               seconds * 1e3, row.flops / seconds / 1e9, share, 1 / share, 1 / quantile(row.shares, 0.9),
               1 / quantile(row.shares, 0.1), ratio);
    const auto spread = [](const std::vector<double>& values) {
      return values.empty() ? Json(nullptr)
                            : Json{{"median", quantile(values, 0.5)},
                                   {"p10", quantile(values, 0.1)},
                                   {"p90", quantile(values, 0.9)}};
    };
    out["rows"].push_back({{"name", row.name},
                           {"by", row.by},
                           {"flops", row.flops},
                           {"seconds", spread(row.seconds)},
                           {"gflops_per_s", row.flops / seconds / 1e9},
                           {"peak_fraction", spread(row.shares)},
                           {"time_over_minimum", 1 / share},
                           {"versus", row.versus.empty() ? Json(nullptr) : Json(row.versus)},
                           {"speed_ratio", spread(row.ratios)}});
  }
  std::fflush(stdout);
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The engine against the peak and against peers, interleaved in one run");
  std::vector<int> threads = {1, 2};
  std::vector<std::string> shapes = {"S", "M", "R"};
  Settings settings;
  std::string json_file;
  bool without_peers = false;
  app.add_option("--threads", threads, "Thread counts")->delimiter(',')->check(CLI::Range(1, 256));
  app.add_option("--shapes", shapes, "Of S, M, R")->delimiter(',')->check(CLI::IsMember({"S", "M", "R"}));
  app.add_option("--rounds", settings.rounds, "Interleaved rounds")->check(CLI::Range(3, 1000));
  app.add_flag("--trim", settings.trim, "Trim the last layer (peers compute it whole, so they are left out)");
  app.add_flag("--no-peers", without_peers, "Leave OpenBLAS and ONNX Runtime out");
  app.add_option("--json", json_file, "Also write everything to this file")->type_name("FILE");
  CLI11_PARSE(app, argc, argv);
  settings.peers = !without_peers;
  settings.folder = std::filesystem::canonical("/proc/self/exe").parent_path();
  const MachineInfo machine = kvcast::machine_info(0);
  fmt::print("{}, {}, dense products {}, {} CPUs\n", machine.cpu_model, machine.isa, machine.dense_isa,
             machine.threads);
  Json all = {{"cpu_model", machine.cpu_model},
              {"isa", machine.isa},
              {"dense_isa", machine.dense_isa},
              {"cpus", machine.threads},
              {"tables", Json::array()}};
  try {
    for (const int team : threads) {
      for (const BenchShape& shape : kShapes) {
        if (std::find(shapes.begin(), shapes.end(), shape.name) != shapes.end()) {
          all["tables"].push_back(table(shape, team, settings));
        }
      }
    }
    if (!json_file.empty()) {
      std::FILE* file = std::fopen(json_file.c_str(), "w");
      if (file == nullptr) throw IoError(json_file, "cannot be written");
      const std::string text = all.dump(2) + "\n";
      const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
      if (std::fclose(file) != 0 || !written) throw IoError(json_file, "cannot be written");
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "engine_bench: {}\n", error.what());
    return 1;
  }
  return 0;
}
