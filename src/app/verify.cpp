#include <algorithm>
#include <memory>

#include "app/export.h"
#include "app/problem.h"

namespace kvcast {
namespace {

// What naive may cost: seconds on a slow core, so that the number of candidates follows from the shape alone and a
// case exported twice is the same case.
constexpr double kNaiveFlopsPerThread = 4 * 40e9;
constexpr double kReferenceSeconds = 4;
// Enough for a ranking to be more than a few lucky places.
constexpr std::int64_t kWantedCandidates = 64;

std::vector<double> joined(const ReferenceKv& kv) {
  std::vector<double> all = kv.k;
  all.insert(all.end(), kv.v.begin(), kv.v.end());
  return all;
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
    if (can_share || !entry.shares) {
      entries.push_back(&entry);
    } else {
      result.skipped.push_back({entry.name, "mask '" + to_string(config.model.mask) + "' cannot share the history"});
    }
  }
  std::int64_t n = static_cast<std::int64_t>(
      std::clamp(kNaiveFlopsPerThread * threads / naive_flops(work), 4.0, static_cast<double>(kWantedCandidates)));
  const auto limit = static_cast<double>(config.measure.max_memory_bytes);
  const auto fits = [&] { return limit <= 0 || bytes_needed(config, entries, n) <= limit; };
  while (n > 2 && !fits()) n = std::max<std::int64_t>(2, n / 2);
  // Literal copies may not fit even then; the other schemes are still checked.
  while (entries.size() > 1 && !fits()) {
    result.skipped.push_back({entries.back()->name, "does not fit the memory that is available"});
    entries.pop_back();
  }
  if (!fits()) {
    throw ConfigError("/model", "weights and two naive candidates do not fit the memory that is available",
                      "use fewer layers, a smaller dim or a shorter history, or raise --max-memory");
  }
  if (can_share && entries.size() == 1) throw CheckError("no scheme that shares fits the memory: nothing to compare");
  result.candidates = n;

  stage("weights");
  const app::Problem problem(config, n);
  std::vector<std::unique_ptr<Scheme>> owned;
  std::vector<app::NamedScheme> named;
  for (const SchemeEntry* entry : entries) {
    owned.push_back(problem.make(*entry, n));
    owned.back()->prepare(std::vector<std::int64_t>{n});
    named.push_back({entry, owned.back().get(), n});
  }
  stage("checks");
  const auto equivalence = app::check_equality(
      problem, named, n, app::reference_budget(kReferenceSeconds, config.run.threads), observer.stop_requested);
  const auto stopped = [&] { return observer.stop_requested && observer.stop_requested(); };
  if (!equivalence || stopped()) {
    result.interrupted = true;
    return result;
  }
  result.equivalence = *equivalence;

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
      stale.kv_per_layer.push_back(app::vector_error(joined(run.stale_kv[layer]), joined(run.true_kv[layer])));
    }
    stale.output = app::vector_error(run.stale_output, run.true_output);
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
