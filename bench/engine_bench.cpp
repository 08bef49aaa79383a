// The engine against the peak of the same run and against other implementations of the same model, interleaved.
//
// A round times every row once, each between two bursts of the peak loop, so that a machine that slows down slows
// both; ratios are formed within a round. Whole passes, ours and the peers', are sessions in the rounds of `run`;
// kernels alone have their own. Peers are processes of their own (bench/peers). Absolute times mean nothing
// elsewhere.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "app/export.h"
#include "base/clock.h"
#include "base/parallel.h"
#include "engine/builtin/builtin.h"
#include "engine/builtin/kernels/machine.h"
#include "engine/builtin/schemes/scheme.h"
#include "engine/problem.h"
#include "measure/machine.h"
#include "measure/measure.h"
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
constexpr double kMinSeconds = 5e-3;  // shorter runs are repeated until they fill it

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

// Mean seconds of `run`, repeated until it fills kMinSeconds.
double repeated(const std::function<void()>& run) {
  const double start = clock_seconds();
  std::int64_t repeats = 0;
  do {
    run();
    ++repeats;
  } while (clock_seconds() - start < kMinSeconds);
  return (clock_seconds() - start) / static_cast<double>(repeats);
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

struct Settings {
  int rounds = 21;
  bool trim = false, peers = true;
  std::filesystem::path folder;  ///< of this program: peers and cases are below
};

/// A peer as an engine: naive, and shared with its phases apart, on the case that it was started with.
class PeerSession final : public Session {
 public:
  explicit PeerSession(bench::Peer& peer) : peer_(peer) {}
  void add(const SchemeInstance&, std::int64_t) override {}
  void add_head(std::int64_t) override {}
  void prepare(const TimingId&, std::span<const std::int64_t>) override {}
  void take_history(const TimingId&, std::span<const float>) override {}
  double prefill(const TimingId&) override { return ask("user"); }
  double score(const TimingId& id, const Scoring& scoring) override {
    return ask((id.scheme == "naive" ? "naive " : "candidates ") + std::to_string(scoring.count));
  }

 private:
  double ask(const std::string& request) {
    const bench::PeerAnswer answer = peer_.request(request);
    if (answer.max_rel_error > 1e-3) throw bench::PeerError(peer_.name() + " computes something else");
    return answer.seconds;
  }
  bench::Peer& peer_;
};

/// One of those that are set against each other: a case of the plan.
struct Contender {
  std::string by;
  bool bf16 = false;
  std::unique_ptr<Session> session;
  std::int64_t naive_count = 1;             ///< candidates of a naive pass
  std::vector<std::int64_t> shared_counts;  ///< empty: naive alone
  std::unique_ptr<Problem> problem{};       ///< ours
  std::vector<float> outputs{};
  Scoring scoring{};

  void add_to(Plan& plan, std::vector<measure::Workload>& loads) const {
    const auto index = static_cast<std::int64_t>(plan.cases.size());
    plan.cases.emplace_back();
    const auto point = [&](const char* scheme, std::int64_t n) {
      PlannedPoint planned;
      planned.case_index = index;
      planned.scheme = scheme;
      planned.candidates = planned.measured_candidates = n;
      plan.points.push_back(planned);
    };
    point("naive", naive_count);
    loads.push_back({"naive", session.get(), false, index, scoring});
    for (const std::int64_t n : shared_counts) point("shared", n);
    if (!shared_counts.empty()) loads.push_back({"shared", session.get(), true, index, scoring});
  }
};

/// Of ours, in the form that is fastest.
Contender ours(const std::string& by, const Config& config, std::vector<std::int64_t> shared_counts) {
  Contender one{by, config.run.dtype == "bf16", nullptr, 1, std::move(shared_counts)};
  one.problem = std::make_unique<Problem>(config, kMost);
  one.session = builtin_engine().open(*one.problem);
  one.naive_count = baseline().entry->unit(scheme_size(config, {}, kMost));
  one.session->add(baseline(), kMost);
  if (!one.shared_counts.empty()) one.session->add({"shared", find_scheme("shared"), {}}, kMost);
  one.session->prepare("naive", std::vector<std::int64_t>{one.naive_count});
  if (!one.shared_counts.empty()) one.session->prepare("shared", one.shared_counts);
  one.session->tune(one.problem->candidates(), {});
  one.outputs.resize(static_cast<std::size_t>(kMost * one.problem->shape().dim));
  one.scoring = {one.problem->candidates().data(), 0, one.outputs.data(), nullptr};
  return one;
}

std::vector<std::unique_ptr<bench::Peer>> start_peers(const Contender& fp32, const BenchShape& s, int threads,
                                                      const Settings& settings) {
  std::vector<std::unique_ptr<bench::Peer>> peers;
  const auto commands = bench::installed_peers((settings.folder / "peers").string());
  if (!settings.peers || settings.trim || commands.empty()) return peers;
  const std::string file = (settings.folder / (std::string("case-") + s.name + ".safetensors")).string();
  app::export_case({builtin_engine(), *fp32.problem, *fp32.session}, {{baseline(), kMost}}, {kMost, false}, file);
  for (const bench::PeerCommand& command : commands) {
    try {
      peers.push_back(std::make_unique<bench::Peer>(command.with(file, threads)));
    } catch (const bench::PeerError& error) {
      fmt::print(stderr, "without {}: {}\n", command.path, error.what());
    }
  }
  return peers;
}

Config config_of(const BenchShape& s, int threads, const Settings& settings) {
  Config config;
  config.model.history_length = s.history_length;
  config.model.dim = s.dim;
  config.model.heads = config.model.kv_heads = s.heads;
  config.model.layers = s.layers;
  config.run.threads = threads;
  config.run.trim = settings.trim;
  config.run.kv_dtype = "fp32";
  return config;
}

/// The contenders of a shape, ours in fp32 first. `peers` outlive them.
std::vector<Contender> contenders(const BenchShape& s, const Config& config, bool bf16_here,
                                  std::vector<std::unique_ptr<bench::Peer>>& peers, const Settings& settings) {
  std::vector<Contender> all;
  all.push_back(ours("kvcast fp32", config, {1, 10, 50, 100}));
  if (bf16_here) {
    Config bf16 = config;
    bf16.run.dtype = bf16.run.kv_dtype = "bf16";
    all.push_back(ours("kvcast bf16", bf16, {1, 10, 50, 100}));
  }
  if (config.run.threads > 1) {  // for the scaling of the forward
    Config one = config;
    one.run.threads = 1;
    all.push_back(ours("1 thread", one, {}));
  }
  peers = start_peers(all.front(), s, static_cast<int>(config.run.threads), settings);
  for (const auto& peer : peers) {
    all.push_back({peer->name(), false, std::make_unique<PeerSession>(*peer), 1, {10, 100}});
  }
  return all;
}

/// The passes of a contender as rows, from what the rounds left of its case.
std::vector<Row> pass_rows(const Contender& one, const WorkShape& work, std::int64_t index,
                           const std::vector<measure::CaseSample>& samples, double bf16_over_fp32) {
  std::vector<Row> rows;
  const bool peer = one.problem == nullptr;
  const std::string base = one.by == "1 thread" || peer || one.bf16 ? "/kvcast fp32" : "";
  const auto add = [&](const std::string& name, double flops, const TimingId& id, std::int64_t n,
                       const std::function<double(const Sample&)>& seconds) {
    Row row{name, one.by, flops, one.bf16, {}, base.empty() ? "" : name + base, {}, {}, {}};
    for (const measure::CaseSample& sample : samples) {
      if (sample.case_index != index || sample.scheme != id || sample.candidates != n) continue;
      const double peak = *sample.canary_gflops * (one.bf16 ? bf16_over_fp32 : 1);
      row.seconds.push_back(seconds(sample));
      row.shares.push_back(flops / row.seconds.back() / 1e9 / peak);
    }
    rows.push_back(std::move(row));
  };
  const double c_f = candidate_flops(work), c_u = history_flops(work);
  const auto whole = [](const Sample& sample) { return sample.measured_seconds; };
  add("naive", static_cast<double>(one.naive_count) * naive_flops(work), "naive", one.naive_count, whole);
  for (const std::int64_t n : one.shared_counts) {
    const auto flops = static_cast<double>(n) * c_f;
    if (n == 10 || n == 100) add(fmt::format("shared({})", n), c_u + flops, "shared", n, whole);
    if (peer) continue;
    if (n == 10) add("history", c_u, "shared", n, [](const Sample& sample) { return *sample.prefill_s; });
    add(fmt::format("candidates({})", n), flops, "shared", n, [](const Sample& sample) { return *sample.scoring_s; });
  }
  return rows;
}

/// Attention of one layer alone, and a plain read of its keys and values.
std::vector<Row> kernel_rows(const BenchShape& s, int threads, bool bf16_here,
                             std::vector<std::unique_ptr<AttentionBench>>& attention) {
  std::vector<Row> rows;
  const double d = static_cast<double>(s.dim), length = static_cast<double>(s.history_length);
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
  return rows;
}

/// Each row once a round between two bursts of its peak. Returns the peaks that were seen, fp32 and bf16.
std::pair<std::vector<double>, std::vector<double>> time_kernels(std::vector<Row>& rows, int threads, int rounds) {
  std::vector<double> peaks, bf16_peaks;
  for (Row& row : rows) row.run();
  for (int round = 0; round < rounds; ++round) {
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
  return {peaks, bf16_peaks};
}

void set_ratios(std::vector<Row>& rows) {
  for (Row& row : rows) {
    const auto base = std::find_if(rows.begin(), rows.end(),
                                   [&](const Row& other) { return other.name + "/" + other.by == row.versus; });
    if (row.versus.empty() || base == rows.end()) continue;
    for (std::size_t i = 0; i < std::min(row.seconds.size(), base->seconds.size()); ++i) {
      row.ratios.push_back((row.flops / row.seconds[i]) / (base->flops / base->seconds[i]));
    }
  }
}

Json row_json(const Row& row) {
  const auto spread = [](const std::vector<double>& values) {
    return values.empty()
               ? Json(nullptr)
               : Json{
                     {"median", quantile(values, 0.5)}, {"p10", quantile(values, 0.1)}, {"p90", quantile(values, 0.9)}};
  };
  return {{"name", row.name},
          {"by", row.by},
          {"flops", row.flops},
          {"seconds", spread(row.seconds)},
          {"gflops_per_s", row.flops / quantile(row.seconds, 0.5) / 1e9},
          {"peak_fraction", spread(row.shares)},
          {"time_over_minimum", 1 / quantile(row.shares, 0.5)},
          {"versus", row.versus.empty() ? Json(nullptr) : Json(row.versus)},
          {"speed_ratio", spread(row.ratios)}};
}

void print(const Row& row) {
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
}

Json table(const BenchShape& s, int threads, const Settings& settings) {
  const Config config = config_of(s, threads, settings);
  const WorkShape work = work_shape(config);
  const bool bf16_here = kernels::bf16_dot_burst_flops(1) > 0;

  std::vector<std::unique_ptr<AttentionBench>> attention;
  std::vector<Row> kernels_alone = kernel_rows(s, threads, bf16_here, attention);
  const auto [peaks, bf16_peaks] = time_kernels(kernels_alone, threads, settings.rounds);
  const double bf16_over_fp32 = bf16_peaks.empty() ? 1 : quantile(bf16_peaks, 0.5) / quantile(peaks, 0.5);

  std::vector<std::unique_ptr<bench::Peer>> peers;
  const std::vector<Contender> all = contenders(s, config, bf16_here, peers, settings);
  Plan plan;
  plan.min_rounds = plan.max_rounds = settings.rounds;
  std::vector<measure::Workload> loads;
  for (const Contender& one : all) one.add_to(plan, loads);
  measure::Options options;
  options.deadline = std::numeric_limits<double>::infinity();
  options.warm_up_s = 1;
  const measure::Result measured =
      measure::run_rounds(plan, loads, {clock_seconds, [threads] { return measure::fma_gflops(threads); }}, options);
  std::vector<Row> rows;
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (Row& row : pass_rows(all[i], work, static_cast<std::int64_t>(i), measured.samples, bf16_over_fp32)) {
      rows.push_back(std::move(row));
    }
  }
  for (Row& row : kernels_alone) rows.push_back(std::move(row));
  set_ratios(rows);

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
    print(row);
    out["rows"].push_back(row_json(row));
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
