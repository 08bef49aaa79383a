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
  const std::int64_t length = config.model.positions();
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
  return reference_flops(model_shape(config), config.model.positions() + 1) /
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
  const ReferenceShape cut = reference_shape(problem.shape(), config.model.positions(), 3, budget);
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
  return std::min(config.model.positions(), config.model.positions() / 10 + 1);
}

class Verification {
 public:
  Verification(const Config& config, const std::string& export_file, const Observer& observer)
      : config_(config), export_file_(export_file), observer_(observer) {
    result_.shape = report::shape_of(config);
  }

  VerifyResult run() {
    choose_schemes();
    fit_memory();
    result_.interrupted = !judge();
    return std::move(result_);
  }

 private:
  void stage(const std::string& name) const {
    if (observer_.on_stage) observer_.on_stage(name);
  }
  bool stopped() const { return observer_.stop_requested && observer_.stop_requested(); }

  // Every scheme of the list that can run.
  void choose_schemes() {
    for (const SchemeEntry& entry : scheme_list()) {
      if (const std::string reason = why_not(entry, config_.model); !reason.empty()) {
        result_.skipped.push_back({entry.name, "mask '" + to_string(config_.model.mask) + "': " + reason});
        continue;
      }
      SchemeOptions options;
      if (entry.name == "append") options.append = appended(config_);
      instances_.push_back({entry.name, &entry, options});
    }
  }

  // As many candidates as naive has the time and the memory for. Literal copies may not fit even then; the other
  // schemes are still checked.
  void fit_memory() {
    const double affordable =
        kNaiveFlopsPerThread * static_cast<double>(config_.run.threads) / naive_flops(work_shape(config_));
    n_ = static_cast<std::int64_t>(std::clamp(affordable, 4.0, static_cast<double>(kWantedCandidates)));
    const auto limit = static_cast<double>(config_.measure.max_memory_bytes);
    const auto fits = [&] { return limit <= 0 || bytes_needed(config_, instances_, n_) <= limit; };
    while (n_ > 2 && !fits()) n_ = std::max<std::int64_t>(2, n_ / 2);
    while (instances_.size() > 1 && !fits()) {
      const auto largest = std::max_element(
          instances_.begin() + 1, instances_.end(),
          [this](const SchemeInstance& a, const SchemeInstance& b) { return bytes_of(a) < bytes_of(b); });
      result_.skipped.push_back({largest->label, "does not fit in the available memory"});
      instances_.erase(largest);
    }
    // In two micro-batches, so that the seam between them is checked.
    for (SchemeInstance& instance : instances_) {
      if (instance.entry->name == "packed") instance.options.micro_batch = (n_ + 1) / 2;
    }
    if (!fits()) {
      throw ConfigError(
          "/model",
          "weights, two naive candidates and the reference take " + gib(bytes_needed(config_, instances_, n_)) +
              " of memory",
          gib(limit) + " is available (--max-memory); use fewer layers, a smaller dim or a shorter history");
    }
    if (shareable(config_.model) && instances_.size() == 1) {
      throw CheckError("no sharing scheme fits in memory: nothing to compare");
    }
    result_.candidates = n_;
  }
  double bytes_of(const SchemeInstance& instance) const {
    return instance.entry->bytes(model_shape(config_), scheme_size(config_, instance.options, n_));
  }

  // False when stopped.
  bool judge() {
    const std::int64_t exported = export_file_.empty() ? 0 : exported_candidates(config_, n_);
    stage("preparing weights");
    const Problem problem(config_, n_);
    result_.machine = machine_info(0);
    result_.warnings = app::notes_on(problem);
    const std::unique_ptr<Session> session = builtin_engine().open(problem);
    const equality::Opened opened{builtin_engine(), problem, *session};
    std::vector<equality::Judged> judged;
    for (const SchemeInstance& instance : instances_) {
      judged.push_back({instance, n_});
      session->add(instance, n_);
      session->prepare(judged.back().id(), std::vector<std::int64_t>{n_});
    }
    stage("checking outputs");
    const double flops = equality::reference_budget(kReferenceSeconds, config_.run.threads);
    const auto equivalence = equality::check(opened, judged, n_, flops, observer_.stop_requested);
    if (!equivalence || stopped()) return false;
    result_.equivalence = *equivalence;
    result_.stored = equality::compare_stored_outputs(opened, judged.front(), observer_.stop_requested);
    if (!shareable(config_.model)) {
      stage("measuring the error of sharing");
      result_.stale = stale_error(problem, n_, observer_.stop_requested);
      if (stopped()) return false;
    }
    if (export_file_.empty()) return true;
    const std::string seconds = format_significant(static_cast<double>(exported) * export_seconds(config_), 2);
    stage("export: float64 reference of " + std::to_string(exported) + " candidates, about " + seconds + " s");
    return app::export_case(opened, judged, {exported, true, observer_.stop_requested}, export_file_);
  }

  const Config& config_;
  const std::string& export_file_;
  const Observer& observer_;
  std::vector<SchemeInstance> instances_;
  std::int64_t n_ = 0;  ///< candidates
  VerifyResult result_;
};

}  // namespace

VerifyResult verify(const Config& config, const std::string& export_file, const Observer& observer) {
  app::require_team("/run/threads", config.run.threads);
  return Verification(config, export_file, observer).run();
}

}  // namespace kvcast
