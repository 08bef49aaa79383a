// sizing.csv and traffic.csv: a row per number, each with its unit and source.
#include "report/quantities.h"

#include <algorithm>
#include <optional>
#include <string>

#include "report/format.h"

namespace kvcast::report {

std::string render_sizing_csv(const Report& report) {
  std::string text = csv_row(quantity_head());
  const std::string whole = "sizing";
  const Sizing& sizing = *report.sizing;
  // What was measured is among the points.
  std::optional<std::int64_t> max_fitted;
  for (const SizingPoint& point : sizing.points) {
    if (point.source == Source::fitted || point.source == Source::measured)
      max_fitted = std::max(max_fitted.value_or(0), point.candidates);
  }
  const auto source_at = [&](const std::optional<std::int64_t>& candidates) {
    if (!max_fitted) return to_string(sizing.source);
    return to_string(candidates && *candidates <= *max_fitted ? Source::fitted : Source::extrapolated);
  };
  // Of numbers that do not come from where the rest of their row does.
  const auto own_source = [&](const std::string& section, const std::string& quantity, const std::string& source) {
    if (quantity.ends_with("_bytes")) return to_string(Source::computed);
    if (quantity == "drop_naive" || (section == whole && quantity == "drop")) {
      return sizing.drop_source == Source::unknown ? source : to_string(sizing.drop_source);
    }
    if (section == whole && quantity == "min_improvement") return to_string(Source::assumed);
    if (section == whole && quantity == "limit") return source_at({});
    if (section == whole && quantity == "knee_candidates") return source_at(sizing.knee_candidates);
    if (section == whole && quantity == "min_candidates") return source_at(sizing.min_candidates);
    if (section == "budgets" && quantity == "limit") return to_string(Source::assumed);
    if (quantity == "design_note_improvement") return to_string(Source::assumed);
    return source;
  };
  text += quantity_rows(whole, sizing_columns(), {sizing}, {false, to_string(sizing.source), own_source});
  visit_lists(sizing, [&](const char* name, const auto& columns, const auto& rows) {
    text +=
        quantity_rows(name, columns, rows,
                      {true, to_string(std::string(name) == "changes" ? Source::computed : sizing.source), own_source});
  });
  return text;
}

std::string render_traffic_csv(const Report& report) {
  const Traffic& traffic = *report.traffic;
  const std::string of_times = to_string(traffic.costs.source);
  std::string text = csv_row(quantity_head());
  text += quantity_rows("traffic", traffic_columns(), {traffic}, {false, "simulated", {}});
  visit_traffic_parts(traffic, [&](const std::string& name, const auto& columns, const auto& row) {
    text += quantity_rows(name, columns, {row}, {false, name == "costs" ? of_times : "assumed", {}});
  });
  const auto replayed = [](const std::string&, const std::string& column, const std::string& source) {
    return column == "replayed" ? "measured" : source;
  };
  visit_traffic_lists(traffic, [&](const std::string& name, const auto& columns, const auto& rows) {
    const std::string source = name == "service" ? of_times : name == "columns" ? "computed" : "simulated";
    text += quantity_rows(name, columns, rows, {true, source, replayed});
  });
  return text;
}

}  // namespace kvcast::report
