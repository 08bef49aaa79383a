// THE description of every field that a report shows: one line per field in columns.cpp gives its name, unit, doc
// and value, and feeds report.json, the CSV heads and rows, their readers, the tables of docs/report.md and the
// JSON Schema.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "kvcast/report.h"

namespace kvcast::report {

/// What every speed-up is over.
inline constexpr const char* kBaseline = "naive";

/// Type of a column. The compound ones are an object (interval: a list of two) in JSON and several columns in CSV;
/// texts and numbers are a list in JSON and one text in CSV. name: a text of a closed set.
enum class Kind { boolean, integer, number, numbers, text, texts, name, interval, estimate, seconds, errors };

/// Where a column stands.
enum class Role {
  field,         ///< a member of the JSON object and a CSV column
  key,           ///< names the JSON object, so not a member of it; a CSV column
  sharing_only,  ///< as field, but has no meaning for naive: absent from its JSON, empty in its CSV
  added,         ///< as field, but files written before it was added lack it; its member then keeps its default
};

/// Value of one column in one row; monostate is unknown.
using Value = std::variant<std::monostate, bool, std::int64_t, double, std::string, std::vector<std::string>,
                           std::vector<double>, Interval, Estimate, SecondsSummary, ErrorPair>;

template <typename Row>
struct Column {
  std::string name;  ///< contract name; carries the unit where there is one
  std::string unit;  ///< for documents; empty when the value has none
  std::string doc;   ///< one clause
  Kind kind = Kind::text;
  std::vector<std::string> names{};  ///< of Kind::name, those that are allowed
  bool nullable = false;             ///< may be unknown (numbers also when not finite)
  Role role = Role::field;
  std::function<Value(const Row&)> value;
  /// Reads a value back: it holds the type of `kind` or, where nullable, nothing. Empty for what is derived.
  std::function<void(Row&, const Value&)> set;
};

const std::vector<Column<ToolInfo>>& tool_columns();
const std::vector<Column<MachineInfo>>& machine_columns();
const std::vector<Column<CaseShape>>& shape_columns();
const std::vector<Column<Equivalence>>& equivalence_columns();
const std::vector<Column<LayerSamples>>& layer_sample_columns();
const std::vector<Column<SchemeEquivalence>>& scheme_equivalence_columns();
const std::vector<Column<TimedOutputs>>& timed_outputs_columns();
const std::vector<Column<Point>>& point_columns();
const std::vector<Column<SchemePoint>>& scheme_point_columns();
/// Of the whole report, in every row of its summary.
const std::vector<Column<Report>>& summary_columns();
const std::vector<Column<Fit>>& fit_columns();
const std::vector<Column<FittedModel>>& fitted_model_columns();
const std::vector<Column<FittedParameter>>& fitted_parameter_columns();
const std::vector<Column<ModelResidual>>& model_residual_columns();
const std::vector<Column<ObservedSpeedup>>& observed_speedup_columns();
const std::vector<Column<Prediction>>& prediction_columns();
const std::vector<Column<Explanation>>& explanation_columns();
const std::vector<Column<RShare>>& r_share_columns();
const std::vector<Column<CompositionCheck>>& composition_columns();
const std::vector<Column<BestMicroBatch>>& micro_batch_columns();
const std::vector<Column<Profile>>& profile_columns();
const std::vector<Column<ProfileStep>>& profile_step_columns();
const std::vector<Column<SelfCheck>>& self_check_columns();
const std::vector<Column<ResidentMemory>>& resident_memory_columns();
const std::vector<Column<Degradation>>& degradation_columns();
const std::vector<Column<Sample>>& sample_columns();
const std::vector<Column<Warning>>& warning_columns();
const std::vector<Column<Shard>>& shard_columns();
const std::vector<Column<Conditions>>& conditions_columns();
const std::vector<Column<Surface>>& surface_columns();
const std::vector<Column<SurfaceTerm>>& surface_term_columns();
const std::vector<Column<HoldoutErrors>>& holdout_errors_columns();
const std::vector<Column<HeldOut>>& held_out_columns();
const std::vector<Column<ComparedPoint>>& compared_point_columns();

// Of the sizing: sizing_columns.cpp.
const std::vector<Column<Sizing>>& sizing_columns();
const std::vector<Column<SizingChange>>& sizing_change_columns();
const std::vector<Column<SizingBudget>>& sizing_budget_columns();
const std::vector<Column<SizingInput>>& sizing_input_columns();
const std::vector<Column<SizingPoint>>& sizing_point_columns();
const std::vector<Column<SizingFraction>>& sizing_fraction_columns();
const std::vector<Column<SizingAdvice>>& sizing_advice_columns();
const std::vector<Column<DropTarget>>& drop_target_columns();
const std::vector<Column<DropReach>>& drop_reach_columns();
const std::vector<Column<SizingMemory>>& sizing_memory_columns();
const std::vector<Column<SizingFrontier>>& sizing_frontier_columns();
const std::vector<Column<SizingParameter>>& sizing_parameter_columns();
const std::vector<Column<SizingAlternative>>& sizing_alternative_columns();
const std::vector<Column<SizingFleet>>& sizing_fleet_columns();
const std::vector<Column<SizingModel>>& sizing_model_columns();

/// Calls visit(name, columns, rows) for every list of a sizing, in the order in which they are shown. A list is added
/// here once, for JSON, its reader, CSV, the JSON Schema and the docs. Sizing or const Sizing.
template <typename S, typename Visit>
void visit_lists(S& sizing, const Visit& visit) {
  visit("budgets", sizing_budget_columns(), sizing.budgets);
  visit("changes", sizing_change_columns(), sizing.changes);
  visit("alternatives", sizing_alternative_columns(), sizing.alternatives);
  visit("inputs", sizing_input_columns(), sizing.inputs);
  visit("points", sizing_point_columns(), sizing.points);
  visit("fractions", sizing_fraction_columns(), sizing.fractions);
  visit("advice", sizing_advice_columns(), sizing.advice);
  visit("drop_targets", drop_target_columns(), sizing.drop_targets);
  visit("drop_reach", drop_reach_columns(), sizing.drop_reach);
  visit("memory", sizing_memory_columns(), sizing.memory);
  visit("frontiers", sizing_frontier_columns(), sizing.frontiers);
  visit("parameters", sizing_parameter_columns(), sizing.parameters);
  visit("fleet", sizing_fleet_columns(), sizing.fleet);
  visit("models", sizing_model_columns(), sizing.models);
}

// Of traffic: traffic_columns.cpp.
const std::vector<Column<Traffic>>& traffic_columns();
const std::vector<Column<ServerOptions>>& server_columns();
const std::vector<Column<UserCacheOptions>>& user_cache_columns();
const std::vector<Column<ServiceCosts>>& service_costs_columns();
const std::vector<Column<ServiceBreakpoint>>& service_breakpoint_columns();
const std::vector<Column<WorkloadColumn>>& workload_columns();
const std::vector<Column<TrafficLatency>>& traffic_latency_columns();
const std::vector<Column<TrafficFigure>>& traffic_figure_columns();
const std::vector<Column<TrafficFind>>& traffic_find_columns();
const std::vector<Column<HitRatePoint>>& hit_rate_columns();
const std::vector<Column<CapacityPoint>>& capacity_columns();
const std::vector<Column<TrafficWindow>>& traffic_window_columns();
const std::vector<Column<LatencyPoint>>& latency_point_columns();
const std::vector<Column<ReplayComparison>>& replay_comparison_columns();

/// As visit_lists() of a sizing, for the lists of traffic. Traffic or const Traffic.
template <typename T, typename Visit>
void visit_traffic_lists(T& traffic, const Visit& visit) {
  visit("latencies", traffic_latency_columns(), traffic.latencies);
  visit("figures", traffic_figure_columns(), traffic.figures);
  visit("find", traffic_find_columns(), traffic.find);
  visit("replay", replay_comparison_columns(), traffic.replay);
  visit("columns", workload_columns(), traffic.columns);
  visit("hit_rates", hit_rate_columns(), traffic.hit_rates);
  visit("capacity", capacity_columns(), traffic.capacity);
  visit("windows", traffic_window_columns(), traffic.windows);
  visit("cdf", latency_point_columns(), traffic.cdf);
  visit("service", service_breakpoint_columns(), traffic.costs.breakpoints);
}
/// Its parts that are one row each.
template <typename T, typename Visit>
void visit_traffic_parts(T& traffic, const Visit& visit) {
  visit("server", server_columns(), traffic.server);
  visit("cache", user_cache_columns(), traffic.cache);
  visit("costs", service_costs_columns(), traffic.costs);
}

/// CSV column names of one column: the name itself, or one per part of a compound ("speedup", "speedup_lo", ...).
std::vector<std::string> flat_names(const std::string& name, Kind kind);

/// Scalar values in the order of flat_names; all unknown when the value is unknown.
std::vector<Value> flat_values(Kind kind, const Value& value);

template <typename Row>
std::vector<std::string> flat_names(const std::vector<Column<Row>>& columns) {
  std::vector<std::string> names;
  for (const auto& column : columns) {
    for (auto& name : flat_names(column.name, column.kind)) names.push_back(std::move(name));
  }
  return names;
}

template <typename Row>
std::vector<Value> flat_values(const std::vector<Column<Row>>& columns, const Row& row) {
  std::vector<Value> values;
  for (const auto& column : columns) {
    for (auto& value : flat_values(column.kind, column.value(row))) values.push_back(std::move(value));
  }
  return values;
}

}  // namespace kvcast::report
