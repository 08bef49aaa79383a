// kvcast size: from timings, or r alone, to a sizing. Everything that is said of it is made in analysis/size.cpp.
#include "analysis/size.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "analysis/advice.h"
#include "analysis/reshape.h"
#include "analysis/service_model.h"
#include "app/analyse.h"
#include "app/layouts.h"
#include "app/refuse.h"
#include "app/surfaces.h"
#include "base/input.h"
#include "base/text.h"
#include "engine/builtin/schemes/scheme.h"
#include "engine/problem.h"
#include "kvcast/kvcast.h"
#include "kvcast/words.h"
#include "report/shape.h"
#include "statistics/statistics.h"

namespace kvcast {
namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;
constexpr std::int64_t kMaxUsers = 1'000'000'000'000;
// Fewer timings than this have no 99th percentile but their largest.
constexpr std::size_t kTailTimings = 100;
// P99 over mean from which on the tail, not the candidates, is what a sizing says.
constexpr double kHeavyTail = 2;
// N of the design note's tables.
constexpr std::int64_t kSeedCandidates[] = {1, 5, 10, 50, 100, 1000};
// N of the copies in the table of memory where nothing was measured: the design note's typical queue.
constexpr std::int64_t kTypicalCandidates = 50;

std::string number(std::int64_t value) { return std::to_string(value); }
std::string number(double value) { return format_significant(value, 4); }

using app::refuse;
using app::require_range;

void require(bool in_range, const std::string& flag, double value, const std::string& allowed) {
  if (!in_range) refuse(flag, "'" + number(value) + "' is out of range", allowed);
}
void require_fraction(const char* flag, const std::optional<double>& value) {
  if (value) require(*value > 0 && *value < 1, flag, *value, "above 0 and below 1");
}
void require_positive(const std::string& flag, const std::optional<double>& value) {
  if (value) require(*value > 0 && std::isfinite(*value), flag, *value, "above 0");
}

/// The speed-up that a target takes is no more than any N can give.
void require_reachable(double drop, double target) {
  if (analysis::speedup_needed(drop, target) > static_cast<double>(analysis::kMaxCandidates)) {
    refuse("--target-drop", "'" + number(100 * target) + "%' needs a speed-up that no N reaches", "a larger one");
  }
}

/// Each value on its own.
void check_values(const SizingOptions& o) {
  for (const BudgetInfo& budget : sizing_budgets()) require_positive(budget.flag(), o.*budget.limit);
  require_positive("--price-per-hour", o.price_per_hour);
  require_positive("--naive-candidate", o.naive_candidate_s);
  require_fraction("--min-improvement", o.min_improvement);
  require_fraction("--drop", o.drop);
  require_fraction("--target-drop", o.target_drop);
  if (o.workers) require_range("--workers", *o.workers, 1, analysis::kMaxWorkers);
  require_range("--users-cached", o.users_cached, 0, kMaxUsers);
  if (o.users_cached > 0 && !o.memory_bytes) {
    refuse("--users-cached", "cached users need a memory budget", "add --memory 8GiB");
  }
  if (o.r) require(*o.r >= 0 && *o.r <= 1, "--r", *o.r, "0 to 1");
  require(o.tail >= 1 && o.tail < analysis::kMaxTail, "--tail", o.tail, "1 to " + number(analysis::kMaxTail));
  for (const std::int64_t n : o.candidates) require_range("--candidates", n, 1, analysis::kMaxCandidates);
}

/// A flag that asks for times; empty: none does.
std::string flag_of_times(const SizingOptions& o) {
  for (const BudgetInfo& budget : sizing_budgets()) {
    if (budget.timed && o.*budget.limit) return budget.flag();
  }
  return o.price_per_hour ? "--price-per-hour" : o.tail != 1 ? "--tail" : "";
}

/// What the timings, or r, leave to be asked.
void check_source(const std::string& path, const SizingOptions& o) {
  if (path.empty() && !o.columns.empty()) refuse("--columns", "no file is read", "with a CSV of your own");
  if (path.empty() && !o.r) refuse("size", "nothing to size from", "a report, timings of your own, or --r 0.15");
  if (!path.empty() && o.r) refuse("--r", "r comes from " + printable(input_name(path), 200), "either PATH or --r");
  if (!path.empty() && o.naive_candidate_s) {
    refuse("--naive-candidate", "times come from " + printable(input_name(path), 200), "only with --r");
  }
  if (path.empty() && (o.history_length || o.layers)) {
    refuse(o.history_length ? "--history" : "--layers", "there are no measured shapes to choose from",
           "with --r, --shape gives the shape");
  }
  const std::string timed = flag_of_times(o);
  if (path.empty() && !o.naive_candidate_s && !timed.empty()) {
    refuse(timed, "r alone gives ratios, not times", "add --naive-candidate 3ms, or size from a report");
  }
}

void check(const std::string& path, const SizingOptions& o) {
  check_values(o);
  check_source(path, o);
  if (o.drop && o.target_drop && *o.target_drop >= *o.drop) {
    refuse("--target-drop",
           "'" + number(100 * *o.target_drop) + "%' is not below the drop of " + number(100 * *o.drop) + "%",
           "below --drop");
  }
  if (o.drop && o.target_drop) require_reachable(*o.drop, *o.target_drop);
}

/// A config of the shape for sizes and work; nullopt where nothing tells it.
std::optional<Config> shape_config(const std::optional<CaseShape>& shape, const SizingOptions& options) {
  if (shape) {
    if (!options.shape.empty())
      refuse("--shape", "the timings record their shape", "only for timings without one, or --r");
    return report::config_of(*shape);
  }
  if (options.shape.empty()) return std::nullopt;
  return load_config(options.shape, {}, host_limits());
}

analysis::MemoryModel memory_of(const Config& config, const SchemeInstance& instance) {
  const ModelShape shape = model_shape(config);
  const SchemeEntry* entry = instance.entry;
  analysis::MemoryModel memory;
  memory.weights = Model::bytes(shape);
  const double row = 2 * sizeof(float) * static_cast<double>(shape.dim);  // a candidate's token and output
  memory.worker = [=](std::int64_t n) {
    return entry->bytes(shape, scheme_size(config, instance.options, n)) + row * static_cast<double>(n);
  };
  // naive keeps nothing of a user.
  memory.user = entry->shares ? static_cast<double>(kv_cache_bytes(work_shape(config))) : 0;
  return memory;
}

SchemeInstance instance_of(const std::string& name) { return {name, find_scheme(name), {}}; }

SizingMemory memory_row(const WorkShape& work, const std::string& dtype, std::int64_t candidates) {
  SizingMemory row;
  row.kv_dtype = dtype;
  row.kv_heads = work.kv_heads;
  row.user_bytes = kv_cache_bytes(work);
  row.users_per_gib = row.user_bytes > 0 ? kGiB / static_cast<double>(row.user_bytes) : 0;
  row.copies_bytes = row.user_bytes * candidates;
  row.candidates = candidates;
  row.naive_bytes = naive_kv_bytes(work);
  row.source = Source::computed;
  return row;
}

/// The cache of this shape, then in the other type and with other numbers of heads.
std::vector<SizingMemory> memory_table(const Config& config, std::int64_t candidates) {
  std::vector<SizingMemory> rows;
  std::vector<std::int64_t> heads = {config.model.kv_heads};
  for (const std::int64_t other :
       {config.model.heads, config.model.heads / 2, config.model.heads / 4, std::int64_t{1}}) {
    if (other >= 1 && config.model.heads % other == 0 && std::find(heads.begin(), heads.end(), other) == heads.end()) {
      heads.push_back(other);
    }
  }
  for (const std::int64_t kv_heads : heads) {
    for (const bool own : {true, false}) {
      Config varied = config;
      varied.model.kv_heads = kv_heads;
      if (!own) varied.run.kv_dtype = config.run.kv_dtype == "bf16" ? "fp32" : "bf16";
      rows.push_back(memory_row(work_shape(varied), varied.run.kv_dtype, candidates));
    }
  }
  return rows;
}

/// The same budgets at another shape, times scaled with FLOPs.
std::optional<analysis::SizingProblem> by_flops(const analysis::SizingProblem& problem, const Config& from,
                                                const Config& to, const std::string& scheme) {
  const WorkShape before = work_shape(from), after = work_shape(to);
  if (!(history_flops(before) > 0 && candidate_flops(before) > 0)) return std::nullopt;
  analysis::SizingProblem scaled = problem;
  analysis::scale_times(scaled, history_flops(after) / history_flops(before),
                        candidate_flops(after) / candidate_flops(before), naive_flops(after) / naive_flops(before));
  scaled.service.half = {};  // the error of scaling by FLOPs is unknown
  if (scaled.memory) scaled.memory = memory_of(to, instance_of(scheme));
  return scaled;
}

/// Shapes of one family as far as they can be sized: measured, by the surface, or by FLOPs.
class Shapes {
 public:
  Shapes(const Report& report, const SizingOptions& options)
      : report_(report), scheme_(options.scheme), extrapolate_(options.extrapolate) {
    for (const Surface& surface : report.surfaces) {
      if (surface.scheme == scheme_) surface_ = &surface;
    }
    if (surface_ == nullptr) return;
    family_ = app::surface_family(report, scheme_);
    residuals_ = app::pooled_residuals(report, scheme_);
  }

  bool has_surface() const { return surface_ != nullptr && family_.has_value(); }
  bool fits(std::int64_t length, std::int64_t layers) const {
    return length % family_->token_merge == 0 && layers > family_->shape.candidate_from_layer;
  }
  bool inside(std::int64_t length, std::int64_t layers) const {
    return surface_->min_history <= length && length <= surface_->max_history && surface_->min_layers <= layers &&
           layers <= surface_->max_layers;
  }
  analysis::ServiceFit service(std::int64_t length, std::int64_t layers) const {
    return analysis::service_of_surface(*surface_, *family_, length, layers, residuals_.scheme, residuals_.naive,
                                        extrapolate_);
  }
  std::set<std::int64_t> lengths() const {
    std::set<std::int64_t> lengths;
    for (const Case& one : report_.cases) {
      if (one.shape) lengths.insert(one.shape->history_length);
    }
    return lengths;
  }

 private:
  const Report& report_;
  std::string scheme_;
  bool extrapolate_;
  const Surface* surface_ = nullptr;
  std::optional<analysis::SurfaceFamily> family_;
  app::PooledResiduals residuals_;
};

const Fit* fit_of(const Case& one, const std::string& scheme) {
  const auto found =
      std::find_if(one.fits.begin(), one.fits.end(), [&](const Fit& fit) { return fit.scheme == scheme && fit.r; });
  return found == one.fits.end() ? nullptr : &*found;
}

/// The case that was asked for: that shape, else the largest; null where none fits.
const Case* choose_case(const Report& report, const SizingOptions& options) {
  const Case* chosen = nullptr;
  for (const Case& one : report.cases) {
    if (fit_of(one, options.scheme) == nullptr) continue;
    if (options.history_length && (!one.shape || one.shape->history_length != *options.history_length)) continue;
    if (options.layers && (!one.shape || one.shape->layers != *options.layers)) continue;
    const auto size = [](const Case& c) { return std::pair(c.shape->layers, c.shape->history_length); };
    if (chosen == nullptr || !one.shape || size(one) >= size(*chosen)) chosen = &one;
  }
  return chosen;
}

class Sizer {
 public:
  /// Of the cases of one layout; `all`: those of the others too.
  Sizer(const Report& report, const Report& all, const app::Layout& layout, const std::string& path,
        const SizingOptions& options)
      : report_(report), all_(all), layout_(layout), path_(path), options_(options), shapes_(report, options) {
    given_.scheme = options.scheme;
  }

  Sizing size() {
    const SchemeEntry* entry = find_scheme(options_.scheme);
    if (entry == nullptr || !entry->shares || !entry->law) refuse_scheme(entry);
    take_times();
    take_budgets();
    take_memory();
    take_drop();
    take_variants();
    take_notes();
    given_.problem = problem_;
    given_.shown.insert(given_.shown.end(), std::begin(kSeedCandidates), std::end(kSeedCandidates));
    given_.shown.insert(given_.shown.end(), options_.candidates.begin(), options_.candidates.end());
    return analysis::size_case(given_);
  }

 private:
  [[noreturn]] void refuse_scheme(const SchemeEntry* asked) const {
    std::vector<std::string> names;
    for (const SchemeEntry& entry : scheme_list()) {
      if (entry.shares && entry.law) names.push_back(entry.name);
    }
    const std::string why = asked == nullptr || asked->no_surface.empty() ? "" : ": " + asked->no_surface;
    refuse("--scheme", in_quotes(options_.scheme) + " cannot be sized" + why, "one of " + join(names, ", "));
  }

  void take(const analysis::ServiceFit& fit) {
    problem_.service = fit.service;
    problem_.naive_s = fit.naive_s;
    problem_.speedup = fit.speedup;
    given_.speedup_interval = fit.speedup_interval;
    given_.speedup_line = fit.speedup_line;
    given_.speedup_straight = fit.speedup_straight;
    problem_.known_to = fit.known_to;
    given_.naive_residuals = fit.naive_residuals;
    given_.limit = fit.limit;
    given_.inputs = fit.inputs;
    given_.min_measured = fit.min_measured;
    given_.max_measured = fit.max_measured;
    given_.shown = fit.measured;
  }

  void take_times() {
    if (path_.empty()) {
      take(analysis::service_of_r(*options_.r, options_.naive_candidate_s, options_.tail));
      given_.timed = options_.naive_candidate_s.has_value();
      given_.source = Source::assumed;
      given_.max_measured = kTypicalCandidates;
      config_ = shape_config(std::nullopt, options_);
      return;
    }
    given_.timed = true;
    given_.source = Source::fitted;
    take_measured();
    take_tail();
  }

  std::optional<analysis::ServiceFit> service_of(const Case& one, const Fit& fit) const {
    return analysis::service_of_fit(analysis::tabulate(one.samples), fit, options_.extrapolate);
  }

  void take_measured() {
    if (const Case* one = choose_case(report_, options_)) {
      take(*service_of(*one, *fit_of(*one, options_.scheme)));
      config_ = shape_config(one->shape, options_);
      case_ = one;
      if (report_.cases.size() > 1 && !options_.history_length && !options_.layers && one->shape) {
        given_.notes.push_back("the largest of " + number(static_cast<std::int64_t>(report_.cases.size())) +
                               " measured shapes; -L and --layers choose another");
      }
      return;
    }
    take_surface();
  }

  /// Disturbed timings give no P99; their mean is used only on request.
  void take_tail() {
    std::vector<double>& residuals = problem_.service.residuals;
    const double tail = quantile(residuals, 0.99) / mean(residuals);
    const std::string measured = "P99 of the timings is " + format_significant(tail, 3) + " times their mean";
    const std::string none = no_result(report_);
    if (options_.tail == 1) {
      if (!none.empty()) {
        throw CheckError(printable(path_, 200) + ": " + none + "; " + measured +
                         ": measure again, or size with the mean and an assumed tail, --tail 1.3");
      }
      if (tail >= kHeavyTail) given_.notes.push_back(measured + "; --tail 1.3 would assume another");
      return;
    }
    if (!none.empty()) given_.notes.push_back(none + "; sized with the mean nevertheless");
    given_.notes.push_back(measured + "; --tail assumes " + format_significant(options_.tail, 3));
    residuals = given_.naive_residuals = analysis::lognormal_residuals(options_.tail);
    given_.tail_assumed = true;
  }

  void take_surface() {
    const bool any = std::any_of(report_.cases.begin(), report_.cases.end(),
                                 [&](const Case& one) { return fit_of(one, options_.scheme) != nullptr; });
    if (!any) {
      refuse("--scheme", printable(input_name(path_), 200) + " has no fit of '" + options_.scheme + "'",
             "measure it: kvcast run --schemes naive," + options_.scheme);
    }
    const char* const flag = options_.history_length ? "--history" : "--layers";
    const auto largest = std::max_element(report_.cases.begin(), report_.cases.end(), [](const Case& a, const Case& b) {
      const auto size = [](const Case& c) {
        return c.shape ? std::pair(c.shape->layers, c.shape->history_length) : std::pair<std::int64_t, std::int64_t>();
      };
      return size(a) < size(b);
    });
    if (!largest->shape) refuse(flag, "the timings do not record their shape", "leave it out");
    const std::int64_t length = options_.history_length.value_or(largest->shape->history_length);
    const std::int64_t layers = options_.layers.value_or(largest->shape->layers);
    const std::string place = "L=" + number(length) + ", layers=" + number(layers);
    if (!shapes_.has_surface()) {
      const std::string none = app::why_no_surface(report_, options_.scheme);
      refuse(flag, place + " was not measured" + (none.empty() ? "" : "; " + none),
             "a measured shape, or timings of a grid, which give a surface");
    }
    if (!shapes_.fits(length, layers))
      refuse(flag, place + " is not a shape of this model", "whole positions; layers above the candidate's first");
    take(shapes_.service(length, layers));
    CaseShape shape = *largest->shape;
    shape.history_length = length;
    shape.layers = layers;
    config_ = shape_config(shape, options_);
    if (!shapes_.inside(length, layers)) given_.source = Source::extrapolated;
    given_.notes.push_back(place + " was not measured: times come from the surface over the grid");
  }

  void take_budgets() {
    for (const BudgetInfo& budget : sizing_budgets()) problem_.*budget.limit = options_.*budget.limit;
    problem_.workers = workers();
    problem_.users_cached = options_.users_cached;
    problem_.min_improvement = options_.min_improvement;
    given_.price_per_hour = options_.price_per_hour;
    given_.target_drop = options_.target_drop;
  }

  void take_memory() {
    if (!config_) {
      if (options_.memory_bytes) {
        refuse("--memory", "the shape is unknown, and with it the size of a cache", "add --shape PRESET|FILE");
      }
      return;
    }
    given_.history_length = config_->model.history_length;
    given_.layers = config_->model.layers;
    problem_.memory = memory_of(*config_, instance_of(options_.scheme));
    given_.copies_memory = memory_of(*config_, instance_of("shared-copy"));
    given_.naive_memory = memory_of(*config_, baseline());
    given_.memory = memory_table(*config_, std::max<std::int64_t>(1, given_.max_measured));
    if (path_.empty()) return;
    given_.threads = config_->run.threads;
    const std::optional<MachineInfo>& machine = measured_on();
    if (machine) given_.cpus = machine->threads;
  }

  /// Merged parts may be of several machines.
  const std::optional<MachineInfo>& measured_on() const {
    return case_ != nullptr && case_->machine ? case_->machine : report_.machine;
  }

  void take_drop() {
    if (options_.drop) given_.drop = Estimate{*options_.drop, std::nullopt};
    given_.drop_source = Source::assumed;
    if (!given_.drop && config_) {
      given_.drop = measured_drop(config_->model.history_length, config_->model.layers);
      given_.drop_source = Source::measured;
    }
    if (!options_.target_drop) return;
    if (!given_.drop) refuse("--target-drop", "the cost of naive to the ranker is unknown", "add --drop 40");
    if (*options_.target_drop >= given_.drop->value) {
      refuse("--target-drop",
             "'" + number(100 * *options_.target_drop) + "%' is not below the measured drop of " +
                 number(100 * given_.drop->value) + "%",
             "below it");
    }
    require_reachable(given_.drop->value, *options_.target_drop);
  }

  /// What naive costs a ranking head at a shape, at the largest N; nullopt where it was not timed.
  std::optional<Estimate> measured_drop(std::int64_t length, std::int64_t layers) const {
    std::optional<Estimate> drop;
    for (const Degradation& row : report_.degradation) {
      const bool here = row.history_length == length && row.layers == layers;
      if (here && row.scheme == baseline().label && row.drop.value > 0) drop = row.drop;
    }
    return drop;
  }

  void add_parameter(const std::string& name, const std::string& from, const std::string& to, const Source& source,
                     std::optional<analysis::SizingProblem> problem) {
    if (problem) given_.parameters.push_back({name, from, to, 0, std::move(*problem), source});
  }

  /// At another L or number of layers, by one model for all of a frontier. Where there is a surface that is the
  /// surface, made to agree with the answer: timings of single shapes are off from it by their noise, this way and
  /// that, and N would go up and down over L.
  std::pair<std::optional<analysis::SizingProblem>, Source> reshaped(std::int64_t length, std::int64_t layers) const {
    Config to = *config_;
    to.model.history_length = length;
    to.model.layers = layers;
    if (length % to.model.token_merge != 0 || layers <= to.model.candidate_from_layer || length < 1 || layers < 1) {
      return {std::nullopt, Source::unknown};
    }
    if (!shapes_.has_surface()) return by_measured(to);
    const Source source = shapes_.inside(length, layers) ? Source::fitted : Source::extrapolated;
    const analysis::ServiceFit there = shapes_.service(length, layers);
    if (case_ == nullptr) return {reshaped(there, to), source};
    const ModelConfig& sized = config_->model;
    analysis::SizingProblem problem =
        analysis::anchored(problem_, shapes_.service(sized.history_length, sized.layers), there, answer());
    problem.memory = memory_of(to, instance_of(options_.scheme));
    return {std::move(problem), source};
  }

  /// The N at which other shapes must agree with the sized one.
  std::int64_t answer() const {
    const std::int64_t expected = analysis::solve(problem_).expected;
    return expected < analysis::kMaxCandidates ? std::max<std::int64_t>(1, expected) : given_.max_measured;
  }

  /// Without a surface: what was measured, what lies between two measured lengths, and beyond them FLOPs.
  std::pair<std::optional<analysis::SizingProblem>, Source> by_measured(const Config& to) const {
    const std::int64_t length = to.model.history_length;
    const std::map<std::int64_t, analysis::SizingProblem> measured = measured_lengths(to);
    if (measured.empty()) return {by_flops(problem_, *config_, to, options_.scheme), Source::assumed};
    const auto above = measured.lower_bound(length);
    if (above != measured.end() && above->first == length) return {above->second, Source::fitted};
    if (above != measured.begin() && above != measured.end()) {
      const auto below = std::prev(above);
      const auto log_length = [](std::int64_t value) { return std::log(static_cast<double>(value)); };
      analysis::SizingProblem problem = analysis::between(
          below->second, above->second,
          (log_length(length) - log_length(below->first)) / (log_length(above->first) - log_length(below->first)));
      problem.memory = memory_of(to, instance_of(options_.scheme));
      return {std::move(problem), Source::fitted};
    }
    const auto& nearest = above == measured.end() ? *measured.rbegin() : *measured.begin();
    Config from = to;
    from.model.history_length = nearest.first;
    return {by_flops(nearest.second, from, to, options_.scheme), Source::assumed};
  }

  /// By length, what was measured of shapes that differ from `to` in it alone; the sized shape as it is sized.
  std::map<std::int64_t, analysis::SizingProblem> measured_lengths(Config to) const {
    std::map<std::int64_t, analysis::SizingProblem> found;
    if (to.model.layers == config_->model.layers) found.emplace(config_->model.history_length, problem_);
    for (const Case& one : report_.cases) {
      const Fit* fit = fit_of(one, options_.scheme);
      if (fit == nullptr || !one.shape) continue;
      to.model.history_length = one.shape->history_length;
      if (!report::same_shape(one.shape, report::shape_of(to))) continue;
      if (const auto own = service_of(one, *fit)) {
        found.emplace(one.shape->history_length, reshaped(*own, to));
      }
    }
    return found;
  }
  analysis::SizingProblem reshaped(const analysis::ServiceFit& fit, const Config& to) const {
    analysis::SizingProblem problem = problem_;
    problem.service = fit.service;
    problem.naive_s = fit.naive_s;
    problem.speedup = fit.speedup;
    problem.known_to = fit.known_to;
    problem.memory = memory_of(to, instance_of(options_.scheme));
    return problem;
  }

  void take_variants() {
    if (!config_) return;
    const std::int64_t length = config_->model.history_length, layers = config_->model.layers;
    std::set<std::int64_t> lengths = {length / 4, length / 2, length, 2 * length, 4 * length};
    lengths.merge(shapes_.lengths());
    for (const std::int64_t other : lengths) {
      auto [problem, source] =
          other == length ? std::pair(std::optional(problem_), given_.source) : reshaped(other, layers);
      if (!problem) continue;
      given_.lengths.push_back(
          {"history_length", number(length), number(other), static_cast<double>(other), *problem, source});
      // Where a head was timed at that L, its own drop; unless another is asked about.
      const auto drop = options_.drop ? std::nullopt : measured_drop(other, layers);
      if (drop) given_.lengths.back().drop = drop->value;
    }
    for (const bool more : {false, true}) {
      const auto other = [more](std::int64_t value) { return more ? 2 * value : value / 2; };
      auto [longer, length_source] = reshaped(other(length), layers);
      add_parameter("L", number(length), number(other(length)), length_source, longer);
      auto [deeper, layers_source] = reshaped(length, other(layers));
      add_parameter("layers", number(layers), number(other(layers)), layers_source, deeper);
      Config wider = *config_;
      wider.model.dim = other(wider.model.dim);
      if (wider.model.dim > 0 && wider.model.width() % wider.model.heads == 0) {
        add_parameter("d", number(config_->model.dim), number(wider.model.dim), Source::assumed,
                      by_flops(problem_, *config_, wider, options_.scheme));
      }
      const std::int64_t threads = other(config_->run.threads);
      if (threads >= 1 && !path_.empty()) {
        Config teamed = *config_;
        teamed.run.threads = threads;
        analysis::SizingProblem problem = problem_;
        const double factor = static_cast<double>(config_->run.threads) / static_cast<double>(threads);
        analysis::scale_times(problem, factor, factor, factor);
        if (problem.memory) problem.memory = memory_of(teamed, instance_of(options_.scheme));
        add_parameter("threads", number(config_->run.threads), number(threads), Source::assumed, problem);
      }
    }
    if (case_ != nullptr && shapes_.has_surface()) {
      given_.notes.push_back("other L and layers: from the surface over the grid, scaled to match this shape at N = " +
                             number(answer()));
    }
    add_dtype();
    add_alternatives();
  }

  /// Times in the ratio of the two peaks: what compute-bound passes would gain at most.
  void add_dtype() {
    const std::optional<MachineInfo>& machine = measured_on();
    if (!machine || !machine->bf16_peak_gflops || !machine->peak_gflops) return;
    const bool to_bf16 = config_->run.dtype == "fp32";
    Config other = *config_;
    other.run.dtype = to_bf16 ? "bf16" : "fp32";
    other.run.kv_dtype = other.run.dtype;
    const double gain = *machine->bf16_peak_gflops / *machine->peak_gflops, factor = to_bf16 ? 1 / gain : gain;
    analysis::SizingProblem problem = problem_;
    analysis::scale_times(problem, factor, factor, factor);
    if (problem.memory) problem.memory = memory_of(other, instance_of(options_.scheme));
    add_parameter("dtype", config_->run.dtype, other.run.dtype, Source::assumed, problem);
  }

  std::int64_t workers() const { return options_.workers.value_or(layout_.workers); }

  /// The sized problem with other times; an assumed tail stays.
  analysis::SizingProblem with_times(const analysis::ServiceFit& model) const {
    analysis::SizingProblem problem = problem_;
    problem.service = model.service;
    problem.speedup = model.speedup;
    problem.known_to = model.known_to;
    if (given_.tail_assumed) problem.service.residuals = problem_.service.residuals;
    return problem;
  }

  /// The same shape as other layouts serve it.
  void add_layouts() {
    for (const Case& one : all_.cases) {
      const app::Layout layout = app::layout_of(one);
      const Fit* fit = fit_of(one, options_.scheme);
      if (layout == layout_ || fit == nullptr || !one.shape || !case_->shape) continue;
      CaseShape as = *one.shape;
      as.workers = layout_.workers;
      as.threads = layout_.threads;
      if (as != *case_->shape) continue;
      const auto model = service_of(one, *fit);
      if (!model) continue;
      analysis::SizingProblem problem = with_times(*model);
      problem.workers = layout.workers;
      given_.alternatives.push_back({layout.words() + ", measured", "", "", 0, problem, Source::fitted});
    }
  }

  void add_alternatives() {
    if (case_ != nullptr) {
      add_layouts();
      for (const Fit& fit : case_->fits) {
        if (fit.scheme == options_.scheme || find_scheme(fit.scheme) == nullptr) continue;
        const auto model = service_of(*case_, fit);
        if (!model) continue;
        analysis::SizingProblem problem = with_times(*model);
        if (problem.memory) problem.memory = memory_of(*config_, instance_of(fit.scheme));
        given_.alternatives.push_back(
            {fit.scheme + " instead of " + options_.scheme, "", "", 0, problem, Source::fitted});
      }
    }
    if (problem_.memory_bytes && config_->run.kv_dtype == "fp32") {
      Config halved = *config_;
      halved.run.kv_dtype = "bf16";
      analysis::SizingProblem problem = problem_;
      problem.memory = memory_of(halved, instance_of(options_.scheme));
      given_.alternatives.push_back({"keys and values in bf16, same times", "", "", 0, problem, Source::computed});
    }
  }

  /// Which N have no answer, and why.
  std::string beyond_note() const {
    const std::string largest = "N=" + number(given_.max_measured), to = "N=" + number(problem_.known_to);
    if (problem_.known_to > given_.max_measured) {
      return "no answer beyond " + to + ", 4 times the largest measured " + largest +
             ": measure larger N, or --extrapolate";
    }
    return "nothing is known beyond the largest measured " + largest + ": measure larger N";
  }

  void take_notes() {
    std::vector<std::string>& notes = given_.notes;
    if (problem_.known_to < analysis::kMaxCandidates) notes.push_back(beyond_note());
    if (problem_.p99_s && !problem_.requests_per_s) notes.push_back("without --qps no request waits for a worker");
    if (problem_.workers > 1 && given_.timed) {
      take_cpus();
    }
    if (const std::string note = app::contention_note(layout_, problem_.workers); given_.timed && !note.empty()) {
      notes.push_back(note);
    }
    const std::size_t timings = problem_.service.residuals.size();
    if (problem_.p99_s && given_.source != Source::assumed && timings < kTailTimings) {
      notes.push_back("P99 rests on " + number(static_cast<std::int64_t>(timings)) +
                      " timings, so it is the largest of them; a longer --budget shows more of the tail");
    }
    if (problem_.p99_s && timings == 1)
      notes.push_back("service times assumed constant; --tail 1.3 puts P99 30% above the mean");
    if (!problem_.service.half)
      notes.push_back(path_.empty() ? "--r has no interval, so there is no conservative N"
                                    : "too few N or rounds for an interval of the time, so there is no conservative N");
    const auto assumed = [](const analysis::SizingVariant& variant) { return variant.source == Source::assumed; };
    if (std::any_of(given_.parameters.begin(), given_.parameters.end(), assumed)) {
      notes.push_back("rows marked assumed: times scaled by FLOPs, threads or peak rates, not measured");
    }
    if (given_.timed && !given_.threads && (problem_.requests_per_s || options_.price_per_hour)) {
      notes.push_back("the number of CPUs is unknown, so a worker counts as a machine");
    }
  }

  /// Warns that the answer does not hold on the measured machine.
  void take_cpus() {
    if (!given_.cpus || !given_.threads || problem_.workers * *given_.threads <= *given_.cpus) return;
    const auto of = [](std::int64_t count, const char* noun) {
      return number(count) + " " + noun + (count == 1 ? "" : "s");
    };
    given_.caveats.push_back(of(problem_.workers, "worker") + " of " + of(*given_.threads, "thread") +
                             " need more than the " + of(*given_.cpus, "CPU") +
                             " of the measured machine: there every time would be longer");
  }

  const Report &report_, &all_;
  app::Layout layout_;
  const std::string& path_;
  const SizingOptions& options_;
  Shapes shapes_;
  const Case* case_ = nullptr;
  std::optional<Config> config_;
  analysis::SizingProblem problem_;
  analysis::SizingCase given_;
};

}  // namespace

Report size(const std::string& path, const SizingOptions& options) {
  check(path, options);
  Report report;
  if (path.empty()) {
    report.tool = tool_info();
  } else {
    FitOptions fitting;
    fitting.columns = options.columns;
    report = fit(path, fitting);
    app::refuse_implausible(report, path);
  }
  const app::Layout layout = app::choose_layout(report, options.workers);
  std::optional<Report> part;  // of several layouts
  if (app::layouts_of(report).size() > 1) part = app::only(report, layout);
  report.sizing = Sizer(part ? *part : report, report, layout, path, options).size();
  report.sizing->doubt = doubt(report);
  return report;
}

}  // namespace kvcast
