#include <algorithm>
#include <cmath>
#include <memory>

#include "app/equality_plan.h"
#include "app/export.h"
#include "app/problem.h"
#include "measure/machine.h"

namespace kvcast {
namespace {

// Seconds that naive and the reference may take each.
constexpr double kNaiveSeconds = 4, kReferenceSeconds = 4;
// Enough for a ranking to be more than a few lucky places.
constexpr std::int64_t kWantedCandidates = 64;

ErrorPair kv_error(const ReferenceKv& stale, const ReferenceKv& truth) {
  ErrorPair error;
  double largest = 0;
  const auto add = [&](const std::vector<double>& a, const std::vector<double>& b) {
    for (std::size_t i = 0; i < b.size(); ++i) {
      error.max_abs = std::max(error.max_abs, std::abs(a[i] - b[i]));
      largest = std::max(largest, std::abs(b[i]));
    }
  };
  add(stale.k, truth.k);
  add(stale.v, truth.v);
  error.max_rel = largest > 0 ? error.max_abs / largest : 0;
  return error;
}

// Memory that the schemes, the weights and `n` candidates take.
double bytes_needed(const Config& config, const std::vector<const SchemeEntry*>& entries, std::int64_t n) {
  const ModelShape shape = app::model_shape(config.model);
  double bytes = Model::bytes(shape) + 2.0 * static_cast<double>(n) * static_cast<double>(shape.dim) * sizeof(float);
  for (const SchemeEntry* entry : entries) {
    bytes += entry->bytes(shape, config.model.history_length, n, static_cast<int>(config.run.threads));
  }
  return bytes;
}

}  // namespace

VerifyResult verify(const Config& config, const std::string& export_file, const Observer& observer) {
  const auto stage = [&](const char* name) {
    if (observer.on_stage) observer.on_stage(name);
  };
  const int threads = static_cast<int>(config.run.threads);
  const WorkShape work = app::work_shape(config);
  const bool can_share = shareable(config.model.mask, config.model.layers);
  VerifyResult result;
  result.shape = app::report_shape(config);

  std::vector<const SchemeEntry*> entries;
  for (const SchemeEntry& entry : scheme_list()) {
    if (can_share || !entry.shares) entries.push_back(&entry);
  }
  stage("machine");
  const double gflops = measure::fma_gflops(threads);
  const double naive_s = naive_flops(work) / (gflops * 0.75e9);
  std::int64_t n = std::clamp<std::int64_t>(static_cast<std::int64_t>(kNaiveSeconds / naive_s), 4, kWantedCandidates);
  const auto limit = static_cast<double>(config.measure.max_memory_bytes);
  while (n > 2 && limit > 0 && bytes_needed(config, entries, n) > limit) n = std::max<std::int64_t>(2, n / 2);
  // Literal copies may not fit even then; the other schemes are still checked.
  while (entries.size() > 1 && limit > 0 && bytes_needed(config, entries, n) > limit) entries.pop_back();
  if (limit > 0 && bytes_needed(config, entries, n) > limit) {
    throw ConfigError("/model", "weights and two naive candidates do not fit the memory that is available",
                      "use fewer layers, a smaller dim or a shorter history, or raise --max-memory");
  }
  result.candidates = n;

  stage("weights");
  const app::Problem problem(config, n);
  std::vector<std::unique_ptr<Scheme>> owned;
  std::vector<app::NamedScheme> named;
  for (const SchemeEntry* entry : entries) {
    owned.push_back(problem.make(*entry, n));
    owned.back()->prepare(std::vector<std::int64_t>{n});
    named.push_back({entry, owned.back().get()});
  }
  stage("checks");
  result.equivalence =
      app::check_equality(problem, named, n, n, app::reference_budget(kReferenceSeconds, config.run.threads));

  if (!can_share && config.model.history_length > 0) {
    stage("stale keys and values");
    const ReferenceShape cut = reference_shape(app::model_shape(config.model), config.model.history_length, 3,
                                               app::reference_budget(kReferenceSeconds, config.run.threads));
    ModelShape shape = app::model_shape(config.model);
    shape.layers = cut.layers;
    const auto dim = static_cast<std::size_t>(shape.dim);
    std::vector<float> history(static_cast<std::size_t>(cut.history_length) * dim), candidate(dim);
    seeded_history(static_cast<std::uint64_t>(config.run.seed), cut.history_length, shape.dim, history);
    seeded_candidates(static_cast<std::uint64_t>(config.run.seed), 0, 1, shape.dim, candidate);
    const StaleRun run = stale_run(shape, problem.source(), history, config.model.mask, candidate, threads);
    StaleError stale;
    for (std::size_t layer = 0; layer < run.true_kv.size(); ++layer) {
      stale.kv_per_layer.push_back(kv_error(run.stale_kv[layer], run.true_kv[layer]));
    }
    stale.output = kv_error({run.stale_output, {}}, {run.true_output, {}});
    stale.read_at = run.read_at;
    result.stale = stale;
  }
  if (!export_file.empty()) {
    stage("export");
    app::export_case(problem, named, n, export_file);
  }
  return result;
}

}  // namespace kvcast
