#include <algorithm>
#include <memory>

#include "app/equality_plan.h"
#include "app/export.h"
#include "app/notes.h"
#include "app/refuse.h"
#include "base/text.h"
#include "engine/builtin/builtin.h"
#include "engine/builtin/model/model.h"
#include "engine/problem.h"
#include "equality/equality.h"
#include "equality/stored_outputs.h"
#include "report/shape.h"

namespace kvcast {
namespace {

// What naive may cost: seconds on a slow core, so that the number of candidates follows from the shape alone and a
// case exported twice is the same case.
constexpr double kNaiveFlopsPerThread = 4 * 40e9;
constexpr double kReferenceSeconds = 4;
// Of the reference of an exported case, which runs every candidate whole. With fewer than two of them, one can stand in
// for another unnoticed.
constexpr double kExportSeconds = 60;
constexpr std::int64_t kFewestExported = 2;
// Enough for a ranking to be more than a few lucky places.
constexpr std::int64_t kWantedCandidates = 64;

std::vector<double> joined(const ReferenceKv& kv) {
  std::vector<double> all = kv.k;
  all.insert(all.end(), kv.v.begin(), kv.v.end());
  return all;
}

// Memory that the schemes, the weights, the tokens of `n` candidates and the reference take.
double bytes_needed(const Config& config, const std::vector<SchemeInstance>& instances, std::int64_t n) {
  const ModelShape shape = model_shape(config);
  const std::int64_t length = positions(config.model);
  const ReferenceShape cut = app::checked_shape(config, n, kReferenceSeconds);
  double bytes = Model::bytes(shape) + app::check_bytes(shape, length, cut) + 32e6 +
                 static_cast<double>(length + 2 * n) * static_cast<double>(shape.dim) * sizeof(float);
  for (const SchemeInstance& instance : instances) {
    bytes += instance.entry->bytes(shape, scheme_size(config, instance.options, n));
  }
  return bytes;
}

// Seconds that the reference of an exported case takes for each candidate.
double export_seconds(const Config& config) {
  return reference_flops(model_shape(config), positions(config.model) + 1) /
         equality::reference_budget(1, config.run.threads);
}

// How many of n candidates are exported. Follows from shape and threads alone. Errors: ConfigError when it is none.
std::int64_t exported_candidates(const Config& config, std::int64_t n) {
  const double each = export_seconds(config);
  const auto affordable = static_cast<std::int64_t>(std::min(kExportSeconds / each, static_cast<double>(n)));
  if (affordable >= kFewestExported) return affordable;
  Config smaller = config;
  const std::int64_t merge = config.model.token_merge;
  while (smaller.model.history_length >= 2 * merge && kFewestExported * export_seconds(smaller) > kExportSeconds) {
    smaller.model.history_length = smaller.model.history_length / 2 / merge * merge;
  }
  throw ConfigError("--export",
                    "the float64 reference takes about " + format_significant(each, 2) + " s for each candidate",
                    format_significant(kExportSeconds, 2) + " s for " + std::to_string(kFewestExported) +
                        " of them at most: such as --history " + std::to_string(smaller.model.history_length) +
                        ", or fewer layers; without --export the shape is verified");
}

// The error that sharing would make, the largest over as many of the candidates as float64 has the time for. One alone
// may understate it by far.
StaleError stale_error(const Problem& problem, std::int64_t candidates, const std::function<bool()>& stop_requested) {
  const Config& config = problem.config();
  const double budget = equality::reference_budget(kReferenceSeconds, config.run.threads);
  // The history alone, and it with each of two candidates.
  const ReferenceShape cut = reference_shape(problem.shape(), positions(config.model), 3, budget);
  const ModelShape shape = cut.cut(problem.shape());
  const auto dim = static_cast<std::size_t>(shape.dim);
  const auto history = problem.history().first(static_cast<std::size_t>(cut.history_length) * dim);
  const double affordable = budget / reference_flops(shape, cut.history_length + 1) - 1;
  StaleError stale;
  stale.shape = cut.text;
  const auto wanted = static_cast<std::int64_t>(std::clamp(affordable, 1.0, static_cast<double>(candidates)));
  std::optional<StaleRun> run;
  for (const std::int64_t candidate : equality::sampled_candidates(candidates, wanted)) {
    if (run && stop_requested && stop_requested()) break;
    run = stale_run(shape, problem.source(), history, config.model.mask,
                    problem.candidates().subspan(static_cast<std::size_t>(candidate) * dim, dim),
                    static_cast<int>(config.run.threads), run ? &*run : nullptr);
    stale.kv_per_layer.resize(run->true_kv.size());
    for (std::size_t layer = 0; layer < run->true_kv.size(); ++layer) {
      equality::take_worse(stale.kv_per_layer[layer],
                           equality::vector_error(joined(run->stale_kv[layer]), joined(run->true_kv[layer])));
    }
    const ErrorPair output = equality::vector_error(run->stale_output, run->true_output);
    if (!(output.max_abs <= stale.output.max_abs)) stale.worst_candidate = candidate;
    equality::take_worse(stale.output, output);
    stale.read_at = run->read_at;
    ++stale.candidates;
  }
  return stale;
}

// New positions for `append` where the config does not say: a tenth of the history.
std::int64_t appended(const Config& config) {
  if (config.run.append > 0) return config.run.append / config.model.token_merge;
  return std::min(positions(config.model), positions(config.model) / 10 + 1);
}

}  // namespace

VerifyResult verify(const Config& config, const std::string& export_file, const Observer& observer) {
  const auto stage = [&](const char* name) {
    if (observer.on_stage) observer.on_stage(name);
  };
  app::require_team("/run/threads", config.run.threads);
  const int threads = static_cast<int>(config.run.threads);
  const WorkShape work = work_shape(config);
  const bool can_share = shareable(config.model);
  VerifyResult result;
  result.shape = report::shape_of(config);

  // Every scheme of the list; packed in two micro-batches, so that the seam between them is checked.
  std::vector<SchemeInstance> instances;
  for (const SchemeEntry& entry : scheme_list()) {
    if (const std::string reason = why_not(entry, config.model); !reason.empty()) {
      result.skipped.push_back({entry.name, "mask '" + to_string(config.model.mask) + "': " + reason});
      continue;
    }
    SchemeOptions options;
    if (entry.name == "append") options.append = appended(config);
    instances.push_back({entry.name, &entry, options});
  }
  std::int64_t n = static_cast<std::int64_t>(
      std::clamp(kNaiveFlopsPerThread * threads / naive_flops(work), 4.0, static_cast<double>(kWantedCandidates)));
  const auto limit = static_cast<double>(config.measure.max_memory_bytes);
  const auto fits = [&] { return limit <= 0 || bytes_needed(config, instances, n) <= limit; };
  while (n > 2 && !fits()) n = std::max<std::int64_t>(2, n / 2);
  // Literal copies may not fit even then; the other schemes are still checked.
  while (instances.size() > 1 && !fits()) {
    const auto largest =
        std::max_element(instances.begin() + 1, instances.end(), [&](const SchemeInstance& a, const SchemeInstance& b) {
          const auto bytes = [&](const SchemeInstance& i) {
            return i.entry->bytes(model_shape(config), scheme_size(config, i.options, n));
          };
          return bytes(a) < bytes(b);
        });
    result.skipped.push_back({largest->label, "does not fit the memory that is available"});
    instances.erase(largest);
  }
  for (SchemeInstance& instance : instances) {
    if (instance.entry->name == "packed") instance.options.micro_batch = (n + 1) / 2;
  }
  if (!fits()) {
    throw ConfigError(
        "/model",
        "weights, two naive candidates and the reference take " + gib(bytes_needed(config, instances, n)) +
            " of memory",
        gib(limit) + " is available (--max-memory); use fewer layers, a smaller dim or a shorter history");
  }
  if (can_share && instances.size() == 1) throw CheckError("no scheme that shares fits the memory: nothing to compare");
  result.candidates = n;
  const std::int64_t exported = export_file.empty() ? 0 : exported_candidates(config, n);

  stage("weights");
  const Problem problem(config, n);
  result.machine = machine_info(0);
  result.warnings = app::notes_on(problem);
  const std::unique_ptr<Session> session = builtin_engine().open(problem);
  const equality::Opened opened{builtin_engine(), problem, *session};
  std::vector<equality::Judged> judged;
  for (const SchemeInstance& instance : instances) {
    judged.push_back({instance, n});
    session->add(instance, n, false);
    session->prepare(judged.back().id(), std::vector<std::int64_t>{n});
  }
  stage("checks");
  const auto equivalence = equality::check(
      opened, judged, n, equality::reference_budget(kReferenceSeconds, config.run.threads), observer.stop_requested);
  const auto stopped = [&] { return observer.stop_requested && observer.stop_requested(); };
  if (!equivalence || stopped()) {
    result.interrupted = true;
    return result;
  }
  result.equivalence = *equivalence;
  result.stored = equality::compare_stored_outputs(opened, judged.front(), observer.stop_requested);

  if (!can_share) {
    stage("stale keys and values");
    result.stale = stale_error(problem, n, observer.stop_requested);
    if (stopped()) {
      result.interrupted = true;
      return result;
    }
  }
  if (!export_file.empty()) {
    const std::string estimate = format_significant(static_cast<double>(exported) * export_seconds(config), 2);
    stage(
        ("export: float64 reference of " + std::to_string(exported) + " candidates, about " + estimate + " s").c_str());
    result.interrupted = !app::export_case(opened, judged, {exported, true, observer.stop_requested}, export_file);
  }
  return result;
}

}  // namespace kvcast
