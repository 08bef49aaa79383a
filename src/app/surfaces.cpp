#include "app/surfaces.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "analysis/curve.h"
#include "analysis/explain.h"
#include "analysis/predict.h"
#include "analysis/service_model.h"
#include "analysis/surface.h"
#include "engine/problem.h"
#include "report/shape.h"

namespace kvcast::app {
namespace {

/// Whether the first case's shape is everyone's but for L and layers.
bool one_family(const std::vector<Case>& cases) {
  const auto base = [](const Case& one) {
    Config config = report::config_of(*one.shape);
    config.model.history_length = 0;
    config.model.layers = 1;
    return config_to_json(config);
  };
  return !cases.empty() && std::all_of(cases.begin(), cases.end(), [&](const Case& one) {
    return one.shape && cases.front().shape && base(one) == base(cases.front());
  });
}

double layer_bytes(const Config& config) {
  ModelShape layer = model_shape(config);
  layer.layers = 1;
  layer.candidate_from_layer = 0;
  return Model::bytes(layer);
}

/// As most cases ran naive at their largest N.
bool mostly_across(const std::vector<Case>& cases) {
  std::size_t across = 0;
  for (const Case& one : cases) {
    if (one.points.empty()) continue;
    for (const SchemePoint& scheme : one.points.back().schemes) {
      if (scheme.scheme == baseline().label && scheme.execution == Execution::across) ++across;
    }
  }
  return 2 * across >= cases.size();
}

/// nullptr for a label that is no scheme of the list.
const SchemeEntry* entry_of(const Report& report, const std::string& label) {
  if (!report.config) return find_scheme(label);
  for (const SchemeInstance& instance : scheme_instances(*report.config)) {
    if (instance.label == label) return instance.entry;
  }
  return nullptr;
}

/// nullopt for what no surface describes.
std::optional<SchemePasses> passes_of(const Report& report, const SchemeEntry* entry, const std::string& label,
                                      const Config& config) {
  if (entry == nullptr || entry->passes == nullptr) return std::nullopt;
  return entry->passes({label, layer_bytes(config), config.run.threads, mostly_across(report.cases)});
}

std::vector<std::int64_t> or_measured(const std::vector<std::int64_t>& asked, const std::set<std::int64_t>& measured) {
  return asked.empty() ? std::vector<std::int64_t>(measured.begin(), measured.end()) : asked;
}

/// Of a shape that was measured its own fit speaks, as everywhere else; empty for one that was not.
std::vector<Prediction> measured_shape(const Report& report, const std::vector<analysis::SurfaceCase>& cases,
                                       const std::string& label, std::int64_t length, std::int64_t layers,
                                       const std::vector<std::int64_t>& candidates, bool extrapolate) {
  for (std::size_t i = 0; i < report.cases.size(); ++i) {
    const Case& one = report.cases[i];
    if (one.shape->history_length != length || one.shape->layers != layers) continue;
    for (const Fit& fit : one.fits) {
      if (fit.scheme != label) continue;
      std::vector<Prediction> predictions = analysis::predict(cases[i].timings, fit, candidates, extrapolate);
      for (Prediction& prediction : predictions) {
        prediction.history_length = length;
        prediction.layers = layers;
      }
      return predictions;
    }
  }
  return {};
}

void fit_one_surface(Report& report, const std::vector<analysis::SurfaceCase>& cases, const std::string& label,
                     const FitOptions& options) {
  const auto found = surface_family(report, label);
  if (!found) return;
  const analysis::SurfaceFamily& family = *found;
  std::set<std::int64_t> lengths, layers, counts;
  for (const Case& one : report.cases) {
    lengths.insert(one.shape->history_length);
    layers.insert(one.shape->layers);
    for (const Point& point : one.points) counts.insert(point.candidates);
  }
  std::optional<Surface> surface = analysis::fit_surface(cases, family, {options.holdout.value_or(0), options.seed});
  if (!surface) return;
  if (!options.candidates.empty() || !options.history_length.empty() || !options.layers.empty()) {
    const std::int64_t reach =
        options.extrapolate ? std::numeric_limits<std::int64_t>::max() : analysis::kReach * surface->max_candidates;
    const std::vector<std::int64_t> asked = or_measured(options.candidates, counts);
    for (const std::int64_t length : or_measured(options.history_length, lengths)) {
      for (const std::int64_t depth : or_measured(options.layers, layers)) {
        auto predictions = measured_shape(report, cases, label, length, depth, asked, options.extrapolate);
        if (predictions.empty()) {
          predictions = analysis::predict_surface(*surface, family, {length}, {depth}, asked, reach);
        }
        surface->predictions.insert(surface->predictions.end(), predictions.begin(), predictions.end());
      }
    }
  }
  report.surfaces.push_back(std::move(*surface));
}

void explain_case(const Report& report, Case& one, const analysis::TimingTable& table) {
  if (!one.shape) return;
  const std::optional<MachineInfo>& machine = one.machine ? one.machine : report.machine;
  for (Fit& fit : one.fits) {
    const Config config = report::config_of(*one.shape);
    const auto passes = passes_of(report, entry_of(report, fit.scheme), fit.scheme, config);
    if (!passes) continue;
    analysis::ExplainRates rates;
    for (const Surface& surface : report.surfaces) {
      if (surface.scheme == fit.scheme) rates.surface = &surface;
    }
    if (machine && machine->read_gb_per_s) rates.read_bytes_per_s = 1e9 * *machine->read_gb_per_s;
    fit.explanation = analysis::explain(table, *passes, work_shape(config), rates);
  }
}

}  // namespace

std::optional<analysis::SurfaceFamily> surface_family(const Report& report, const std::string& label) {
  if (!one_family(report.cases)) return std::nullopt;
  const Config config = report::config_of(*report.cases.front().shape);
  const auto naive = passes_of(report, baseline().entry, baseline().label, config);
  const auto passes = passes_of(report, entry_of(report, label), label, config);
  if (!naive || !passes) return std::nullopt;
  analysis::SurfaceFamily family;
  family.shape = work_shape(config);
  family.token_merge = config.model.token_merge;
  family.naive = *naive;
  family.scheme = *passes;
  return family;
}

std::string why_no_surface(const Report& report, const std::string& label) {
  const SchemeEntry* const entry = entry_of(report, label);
  return entry == nullptr || entry->passes != nullptr ? "" : "no surface of " + label + ": " + entry->no_surface;
}

PooledResiduals pooled_residuals(const Report& report, const std::string& label) {
  PooledResiduals pooled;
  for (const Case& one : report.cases) {
    for (const Fit& fit : one.fits) {
      if (fit.scheme != label) continue;
      const auto model = analysis::service_of_fit(analysis::tabulate(one.samples), fit);
      if (!model) continue;
      const auto& residuals = model->service.residuals;
      pooled.scheme.insert(pooled.scheme.end(), residuals.begin(), residuals.end());
      pooled.naive.insert(pooled.naive.end(), model->naive_residuals.begin(), model->naive_residuals.end());
    }
  }
  std::sort(pooled.scheme.begin(), pooled.scheme.end());
  std::sort(pooled.naive.begin(), pooled.naive.end());
  return pooled;
}

void fit_surfaces(Report& report, std::vector<analysis::TimingTable> tables, const FitOptions& options) {
  report.surfaces.clear();
  std::vector<std::string> labels;  // in the order of the first case that has them
  for (const Case& one : report.cases) {
    for (const Fit& fit : one.fits) {
      if (std::find(labels.begin(), labels.end(), fit.scheme) == labels.end()) labels.push_back(fit.scheme);
    }
  }
  std::vector<analysis::SurfaceCase> cases;
  for (std::size_t i = 0; i < tables.size(); ++i) {
    const std::optional<CaseShape>& shape = report.cases[i].shape;
    cases.push_back({shape ? shape->history_length : 0, shape ? shape->layers : 0, std::move(tables[i])});
  }
  for (const std::string& label : labels) fit_one_surface(report, cases, label, options);
  for (std::size_t i = 0; i < cases.size(); ++i) explain_case(report, report.cases[i], cases[i].timings);
}

}  // namespace kvcast::app
