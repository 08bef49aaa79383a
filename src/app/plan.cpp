#include "app/plan.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "app/equality_plan.h"
#include "app/layouts.h"
#include "app/prepared_case.h"
#include "engine/builtin/builtin.h"
#include "engine/builtin/model/model.h"
#include "engine/builtin/schemes/layer_check.h"
#include "engine/builtin/schemes/scheme.h"
#include "engine/problem.h"
#include "plan/plan.h"

namespace kvcast {
namespace {

// Share of the FMA peak that a pass is expected to reach. Estimates only: nothing that is reported depends on it.
constexpr double kExpectedPeakShare = 0.75;
// When the machine has not been measured (--dry-run on another's behalf).
constexpr double kAssumedGflopsPerThread = 50, kAssumedReadGbPerThread = 8;
// Fewest candidates from which a scheme with the ranking head behind it is multiplied up: with fewer, the head would
// stream its weights more often than it does for all N.
constexpr std::int64_t kHeadUnit = 128;
// Making and packing weights, seconds per element and thread; starting up, probing the machine.
constexpr double kWeightSeconds = 9e-9, kStartSeconds = 0.5;

}  // namespace

namespace app {

// A pass takes its arithmetic or the reading of the weights, whichever is longer.
double pass_seconds(const Config& config, const MachineInfo& machine, double flops, double weight_bytes) {
  const auto threads = static_cast<double>(config.run.threads);
  // Of the CPUs that the rates were measured on, a worker has its threads.
  const double share = threads / static_cast<double>(machine.peak_threads.value_or(config.run.threads));
  const double peak = machine.peak_gflops ? *machine.peak_gflops * share : kAssumedGflopsPerThread * threads;
  const double rate = peak * 1e9 * kExpectedPeakShare;
  const double read =
      (machine.read_gb_per_s ? *machine.read_gb_per_s * share : kAssumedReadGbPerThread * threads) * 1e9;
  return std::max(flops / rate, weight_bytes / read);
}
double pass_seconds(const Config& config, const MachineInfo& machine, double flops) {
  return pass_seconds(config, machine, flops, Model::bytes(model_shape(config)));
}

EqualityPlan plan_equality(const Config& config, const MachineInfo& machine, std::int64_t cases) {
  EqualityPlan plan;
  const auto share = 1.0 / static_cast<double>(cases);
  const double naive_candidate_s = pass_seconds(config, machine, naive_flops(work_shape(config)));
  const std::int64_t most = config.run.candidates.back();
  // Up to a second of naive over all cases; two candidates at least, so that one cannot stand in for another unnoticed.
  const double affordable = share / std::max(naive_candidate_s, 1e-9);
  plan.checked = static_cast<std::int64_t>(std::clamp(affordable, 2.0, 8.0));
  plan.batch = std::max(plan.checked, std::min<std::int64_t>(most, 128));
  plan.batch = std::min(plan.batch, std::max<std::int64_t>(most, 1));
  plan.checked = std::min(plan.checked, plan.batch);
  // The form that spreads candidates over the threads is checked too where it is cheap.
  const std::int64_t unit = baseline().entry->unit(scheme_size(config, {}, most));
  if (unit <= 64) plan.checked = std::max(plan.checked, std::min(unit, plan.batch));
  // A hundredth of the budget. Without a scheme that keeps a cache nothing else can say what to expect.
  const auto within = [&](double each) { return 0.01 * config.measure.budget_s * share / std::max(each, 1e-9); };
  const std::vector<SchemeInstance> instances = scheme_instances(config);
  const bool cache = std::any_of(instances.begin(), instances.end(),
                                 [](const SchemeInstance& i) { return i.entry->shares && !i.entry->runs_history; });
  plan.expected_naive = static_cast<std::int64_t>(std::clamp(within(naive_candidate_s), cache ? 0.0 : 1.0, 1e3));
  // One beside the first at least, else a history that is never changed would not show.
  const double history_s = pass_seconds(config, machine, history_flops(work_shape(config)));
  if (config.measure.cold) plan.judged_users += static_cast<std::int64_t>(std::clamp(within(history_s), 1.0, 1e3));
  plan.reference_s = std::clamp(0.1 * config.measure.budget_s * share, 0.2 * share, 3.0);
  return plan;
}

ReferenceShape checked_shape(const Config& config, std::int64_t candidates, double seconds) {
  const ModelShape shape = model_shape(config);
  const std::int64_t sequences =
      reference_sequences(shape, reference_candidates(shape, candidates), shareable(config.model));
  return reference_shape(shape, config.model.positions(), sequences,
                         equality::reference_budget(seconds, config.run.threads));
}

double check_bytes(const ModelShape& shape, std::int64_t history_length, const ReferenceShape& cut) {
  // The reference holds float64 activations and one weight matrix in both precisions.
  const double reference =
      static_cast<double>(cut.history_length + 1) *
          static_cast<double>(3 * shape.dim + 2 * shape.qkv_dim() * cut.layers + 2 * shape.ffn_dim) * 8 +
      static_cast<double>(shape.dim) * static_cast<double>(std::max(shape.ffn_dim, shape.qkv_dim())) * 12;
  ModelShape smaller = cut.cut(shape);
  double models = cut.full ? 0.0 : Model::bytes(smaller);
  if (!shape.in_fp32()) {
    smaller.element = smaller.kv_element = kernels::Element::f32;
    models += Model::bytes(smaller);
  }
  // One after the other.
  return std::max(reference + models, LayerCheck::bytes(shape, history_length));
}

}  // namespace app

namespace {

/// Adds the ranking head, alone and behind every scheme. It runs in the memory of the schemes that are there.
void add_head(plan::Costs& costs, const Config& config, const MachineInfo& machine, double evict_s) {
  const RankingHeadShape shape = head_shape(config);
  const double weight_bytes = RankingHead::weight_bytes(shape);
  const double flops = head_flops(shape.dim, shape.width, shape.layers);
  const auto head_s = [=](std::int64_t n) {
    const double blocks = std::ceil(static_cast<double>(n) / static_cast<double>(kHeadRows));
    return blocks * app::pass_seconds(config, machine, flops * static_cast<double>(n) / blocks, weight_bytes);
  };
  const auto no_bytes = [](std::int64_t) { return 0.0; };
  costs.fixed_bytes +=
      static_cast<double>(config.run.workers) * RankingHead::bytes(shape, config.run.candidates.back());
  costs.bytes_per_candidate += sizeof(float);  // the score
  costs.setup_s += kWeightSeconds * weight_bytes / sizeof(float) / static_cast<double>(config.run.threads);
  std::vector<plan::SchemeCost> with_head;
  for (std::size_t i = 0; i < costs.schemes.size(); ++i) {
    if (costs.schemes[i].id.again) continue;
    plan::SchemeCost cost = costs.schemes[i];
    cost.runs_on = i;
    cost.id.with_head = true;
    if (cost.unit > 0) cost.unit *= std::max<std::int64_t>(1, (kHeadUnit + cost.unit - 1) / cost.unit);
    cost.candidates_s = [own = cost.candidates_s, head_s](std::int64_t n) { return own(n) + head_s(n); };
    cost.bytes = no_bytes;
    with_head.push_back(std::move(cost));
  }
  plan::SchemeCost alone;
  alone.id = TimingId::head();
  alone.unit = 0;
  alone.candidates_s = [=](std::int64_t n) { return head_s(n) + evict_s; };
  alone.bytes = no_bytes;
  costs.schemes.push_back(std::move(alone));
  std::move(with_head.begin(), with_head.end(), std::back_inserter(costs.schemes));
}

/// Adds every request of a scheme once more, run by one worker while the others rest: over it, the time beside them is
/// what they cost each other.
void add_alone(plan::Costs& costs) {
  const std::size_t schemes = costs.schemes.size();
  for (std::size_t i = 0; i < schemes; ++i) {
    if (!costs.schemes[i].id.plain()) continue;
    plan::SchemeCost cost = costs.schemes[i];
    cost.id.alone = true;
    cost.runs_on = i;
    cost.bytes = [](std::int64_t) { return 0.0; };
    costs.schemes.push_back(std::move(cost));
  }
}

/// What one case of the grid costs; `cases` of them share the budget.
plan::Costs case_costs(const Engine& engine, const Config& config, const MachineInfo& machine,
                       const RunOptions& options, std::int64_t cases) {
  const Capabilities can = engine.capabilities();
  const ModelShape shape = model_shape(config);
  const WorkShape work = work_shape(config);
  const auto threads = static_cast<double>(config.run.threads);
  const double bytes_per_s = machine.read_gb_per_s.value_or(kAssumedReadGbPerThread * threads) * 1e9;
  const double weight_bytes = Model::bytes(shape);
  const std::int64_t length = config.model.positions();
  const int team = static_cast<int>(config.run.threads);

  const auto pass_s = [=](double flops) { return app::pass_seconds(config, machine, flops); };
  // Emptying the caches reads and writes, before every timing.
  const double evict_s = config.measure.cold ? 2 * app::cold_bytes(config) / bytes_per_s : 0;
  plan::Costs costs;
  costs.history_length = config.model.history_length;
  costs.layers = config.model.layers;
  costs.workers = config.run.workers;
  costs.threads = config.run.threads;
  const auto workers = static_cast<double>(config.run.workers);
  for (const SchemeInstance& instance : app::measured_instances(config, options)) {
    const SchemeEntry* entry = instance.entry;
    const SchemeOptions scheme_options = instance.options;
    if (const std::string reason = why_not(*entry, config.model); !reason.empty()) {
      throw ConfigError("/run/schemes",
                        "'" + entry->name + "' cannot run under mask '" + to_string(config.model.mask) + "': " + reason,
                        "use --mask causal or history-blind, or --schemes naive; kvcast verify shows the error");
    }
    plan::SchemeCost cost;
    cost.id = instance.id();
    cost.baseline = !entry->shares;
    cost.has_prefill = entry->has_prefill;
    cost.unit = entry->unit(scheme_size(config, scheme_options, config.run.candidates.back()));
    cost.prefill_s = entry->has_prefill ? pass_s(entry->prefill_flops(work, scheme_options)) : 0;
    // What is not in the prefill, in as many passes as the scheme makes of it.
    const double copies = entry->kv_bytes(work, 2) > entry->kv_bytes(work, 1) ? 2 * entry->kv_bytes(work, 1) : 0;
    cost.candidates_s = [=](std::int64_t n) {
      const double flops = entry->flops(work, n, scheme_options) - entry->prefill_flops(work, scheme_options);
      const std::int64_t batch = entry->shares ? scheme_options.micro_batch : 1;
      const std::int64_t batches = batch == 0 ? 1 : (n + batch - 1) / batch;
      const auto passes = static_cast<double>(batches);
      return passes * pass_s(flops / passes) + static_cast<double>(n) * copies / bytes_per_s + evict_s;
    };
    // A returning user's earlier request is run once, before anything is timed.
    if (entry->shares && !entry->law) costs.setup_s += pass_s(history_flops(work));
    cost.bytes = [=](std::int64_t n) { return workers * entry->bytes(shape, scheme_size(config, scheme_options, n)); };
    cost.cannot = can.why_not(engine.info().name, entry->name, config);
    if (!can.phases_apart && entry->has_prefill) {
      // A request is one pass, which nothing can be put together or multiplied up from.
      cost.candidates_s = [own = cost.candidates_s, user = cost.prefill_s](std::int64_t n) { return user + own(n); };
      cost.has_prefill = false;
      cost.prefill_s = 0;
      cost.unit = 0;
    }
    costs.schemes.push_back(cost);
  }

  const double naive_s = pass_s(naive_flops(work));
  const app::EqualityPlan equality = app::plan_equality(config, machine, cases);
  const double elements = weight_bytes / sizeof(float);
  // The check runs naive on `checked` candidates and sharing on a batch; calibration runs naive twice in each form.
  costs.setup_s += kWeightSeconds * elements / threads + 1.5 * equality.reference_s +
                   static_cast<double>(equality.checked) * naive_s;
  const auto users = static_cast<double>(std::min<std::int64_t>(equality.judged_users, std::int64_t{app::kColdUsers}));
  costs.setup_s += users * static_cast<double>(std::min<std::int64_t>(equality.expected_naive, 32)) * naive_s +
                   (users - 1) * pass_s(history_flops(work));
  const std::int64_t unit = baseline().entry->unit(scheme_size(config, {}, 1));
  if (team > 1) costs.setup_s += 4 * static_cast<double>(unit) * naive_s;
  for (const plan::SchemeCost& cost : costs.schemes) {
    if (!cost.baseline) costs.setup_s += 2 * cost.prefill_s + cost.candidates_s(equality.batch);
  }
  const double row_bytes = static_cast<double>(shape.dim) * sizeof(float);
  const ReferenceShape cut = app::checked_shape(config, equality.batch, equality.reference_s);
  costs.fixed_bytes = weight_bytes + workers * static_cast<double>(length) * row_bytes +
                      app::check_bytes(shape, length, cut) + app::cold_bytes(config) + 32e6;
  costs.bytes_per_candidate = 2 * workers * row_bytes;
  if (config.model.head_width > 0) add_head(costs, config, machine, evict_s);
  if (config.run.workers > 1) add_alone(costs);
  return costs;
}

/// "such as --history 500": half as long, or as many layers, as often as it takes; empty when nothing helps.
std::string what_fits(const Engine& engine, const Config& config, const MachineInfo& machine, const RunOptions& options,
                      std::int64_t cases, double bytes) {
  const auto fits = [&](const Config& smaller) {
    return plan::min_bytes(case_costs(engine, smaller, machine, options, cases)) <= bytes;
  };
  const std::int64_t merge = config.model.token_merge;
  // What is shorter would be less than the new tokens of a returning user.
  const std::int64_t shortest = std::max(merge, config.run.append);
  for (Config smaller = config; smaller.model.history_length / 2 >= shortest;) {
    smaller.model.history_length = smaller.model.history_length / 2 / merge * merge;
    if (fits(smaller)) return "such as --history " + std::to_string(smaller.model.history_length);
  }
  for (Config smaller = config; smaller.model.layers / 2 > smaller.model.candidate_from_layer;) {
    smaller.model.layers /= 2;
    if (fits(smaller)) return "such as --layers " + std::to_string(smaller.model.layers);
  }
  return "";
}

}  // namespace

std::vector<plan::Costs> app::costs_of(const Engine& engine, const Config& config, const MachineInfo& machine,
                                       const RunOptions& options) {
  std::vector<Config> cases = grid(config);
  for (const Config& one : cases) {
    const app::Layout layout{one.run.workers, one.run.threads};
    if (layout.workers * layout.threads <= machine.threads || machine.threads <= 0) continue;
    const bool several = one.run.workers > 1;
    throw ConfigError(
        several ? "/run/workers" : "/run/threads",
        (several ? layout.words() : std::to_string(one.run.threads) + " threads") + " on " +
            std::to_string(machine.threads) + " CPUs would measure the scheduler",
        "allowed: " + std::string(several ? "workers x threads up to " : "1 to ") + std::to_string(machine.threads));
  }
  if (options.shard) {
    const auto [index, count] = *options.shard;
    if (count > static_cast<std::int64_t>(cases.size())) {
      throw ConfigError("--shard", std::to_string(count) + " shards of " + std::to_string(cases.size()) + " shapes",
                        "one machine measures a whole shape; allowed: at most as many shards as shapes");
    }
    std::vector<double> work;
    for (const Config& one : cases) work.push_back(naive_flops(work_shape(one)));
    std::vector<Config> mine;
    for (const std::size_t i : plan::deal(work, index, count)) mine.push_back(cases[i]);
    cases = std::move(mine);
  }
  std::vector<plan::Costs> costs;
  const auto count = static_cast<std::int64_t>(cases.size());
  for (const Config& one : cases) {
    costs.push_back(case_costs(engine, one, machine, options, count));
    costs.back().what_fits = [&engine, &machine, &options, one, count](double bytes) {
      return what_fits(engine, one, machine, options, count, bytes);
    };
  }
  return costs;
}

Plan app::plan_for(const Engine& engine, const Config& config, const MachineInfo& machine, const RunOptions& options) {
  return plan::build_plan(config, app::costs_of(engine, config, machine, options), kStartSeconds);
}

Plan make_plan(const Config& config, const MachineInfo& machine, const RunOptions& options) {
  return app::plan_for(builtin_engine(), config, machine, options);
}

}  // namespace kvcast
