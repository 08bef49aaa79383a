#include "analysis/surface.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "analysis/composition.h"
#include "analysis/fit.h"
#include "analysis/forms/form.h"
#include "analysis/nnls.h"
#include "base/random.h"
#include "statistics/statistics.h"

namespace kvcast::analysis {
namespace {

/// Relative errors below this are rounding, and no reason to believe in a cache.
constexpr double kExact = 1e-8;

double real(std::int64_t value) { return static_cast<double>(value); }

double beyond_cache(const PassWork& work, std::optional<double> cache_bytes) {
  return cache_bytes ? work.passes * std::max(0.0, work.walk_bytes - *cache_bytes) : 0;
}

using Cache = std::optional<double>;
struct TermKind {
  const char *name, *unit;
  const char* only_of;  ///< the one pass that can have any of it; null: all
  double (*amount)(const PassWork& work, Cache cache_bytes);
};
/// In the order in which terms that cannot be told apart are preferred.
constexpr std::array kTerms = {
    TermKind{kDenseTerm, "FLOP", nullptr, [](const PassWork& work, Cache) { return work.flops.dense; }},
    TermKind{kAttentionTerm, "FLOP", nullptr, [](const PassWork& work, Cache) { return work.flops.attention; }},
    TermKind{kWeightsTerm, "B", nullptr, [](const PassWork& work, Cache) { return work.weight_bytes; }},
    TermKind{kKvTerm, "B", kScoringPass, [](const PassWork& work, Cache) { return work.kv_bytes; }},
    TermKind{kBeyondCacheTerm, "B", nullptr, beyond_cache},
    TermKind{kTeamLayersTerm, "1", kNaivePass, [](const PassWork& work, Cache) { return work.team_layers; }},
    TermKind{kPassTerm, "1", nullptr, [](const PassWork& work, Cache) { return work.passes; }},
};

double term_amount(const SurfaceTerm& term, const PassWork& work, Cache cache_bytes) {
  const auto kind = std::find_if(kTerms.begin(), kTerms.end(), [&](const TermKind& k) { return term.name == k.name; });
  return kind == kTerms.end() ? 0 : kind->amount(work, cache_bytes);
}

/// One (L, layers), all cases of it together.
struct ShapeData {
  std::int64_t history_length = 0, layers = 0;
  WorkShape work;
  std::vector<TimingTable> tables;
  std::map<std::int64_t, double> naive_s, scheme_s;  ///< of whole requests as measured, by N
};
using ShapeKey = std::pair<std::int64_t, std::int64_t>;

WorkShape work_at(const SurfaceFamily& family, std::int64_t history_length, std::int64_t layers) {
  WorkShape shape = family.shape;
  shape.history_length = history_length / family.token_merge;
  shape.layers = layers;
  return shape;
}

/// Calls use(table index, N, point) for every point of a scheme.
template <typename Use>
void for_points(const ShapeData& shape, const std::string& scheme, const Use& use) {
  for (std::size_t table = 0; table < shape.tables.size(); ++table) {
    const auto points = shape.tables[table].find(scheme);
    if (points == shape.tables[table].end()) continue;
    for (const auto& [candidates, point] : points->second) use(table, candidates, point);
  }
}

std::map<std::int64_t, double> request_seconds(const ShapeData& shape, const std::string& scheme) {
  std::map<std::int64_t, std::vector<double>> seconds;
  for_points(shape, scheme, [&](std::size_t, std::int64_t candidates, const PointTimings& point) {
    for (const Timing& timing : prevailing(point)) seconds[candidates].push_back(timing.seconds);
  });
  std::map<std::int64_t, double> medians;
  for (auto& [candidates, values] : seconds) medians[candidates] = median(std::move(values));
  return medians;
}

/// Ascending by (L, layers).
std::vector<ShapeData> load(const std::vector<SurfaceCase>& cases, const SurfaceFamily& family) {
  std::map<ShapeKey, ShapeData> shapes;
  for (const SurfaceCase& one : cases) {
    const TimingTable& table = one.timings;
    if (!table.contains(family.naive.name) || !table.contains(family.scheme.name)) continue;
    ShapeData& shape = shapes[{one.history_length, one.layers}];
    shape.history_length = one.history_length;
    shape.layers = one.layers;
    shape.work = work_at(family, one.history_length, one.layers);
    shape.tables.push_back(table);
  }
  std::vector<ShapeData> data;
  for (auto& [key, shape] : shapes) {
    shape.naive_s = request_seconds(shape, family.naive.name);
    shape.scheme_s = request_seconds(shape, family.scheme.name);
    data.push_back(std::move(shape));
  }
  return data;
}

/// Seconds of one pass by round; several entries of a round are one timing seen through several N.
class RoundTimes {
 public:
  void add(std::size_t table, std::int64_t round, double seconds) { rounds_[{table, round}].push_back(seconds); }
  double middle() const {
    std::vector<double> values;
    for (const auto& [round, seconds] : rounds_) values.push_back(median(seconds));
    return median(std::move(values));
  }

 private:
  std::map<std::pair<std::size_t, std::int64_t>, std::vector<double>> rounds_;
};

struct Observation {
  PassWork work;
  double seconds = 0;
};
/// By pass.
using Observations = std::map<std::string, std::vector<Observation>>;

/// Candidates of one shape that are left out; all: the whole shape.
struct LeftOut {
  bool all = false;
  std::set<std::int64_t> candidates;
};

/// What was timed of one scheme without a prefill of its own, by the number of candidates that were timed.
void observe_whole(const ShapeData& shape, const SchemePasses& scheme, const LeftOut& left_out, const char* pass,
                   Observations& into) {
  std::map<std::int64_t, RoundTimes> by_count;
  std::set<std::int64_t> unseen;  // timings that serve an N that is left out
  for_points(shape, scheme.name, [&](std::size_t table, std::int64_t candidates, const PointTimings& point) {
    if (left_out.candidates.contains(candidates)) {
      for (const auto* timings : {&point.whole, &point.assembled}) {
        for (const Timing& timing : *timings) unseen.insert(timing.measured_candidates);
      }
      return;
    }
    for (const Timing& timing : prevailing(point)) {
      const double share = real(timing.measured_candidates) / real(candidates);
      by_count[timing.measured_candidates].add(table, timing.round, timing.seconds * share);
    }
  });
  for (const auto& [count, times] : by_count) {
    if (!unseen.contains(count)) into[pass].push_back({scheme.candidates(shape.work, count), times.middle()});
  }
}

/// The same of a scheme whose prefill was timed apart.
void observe_parts(const ShapeData& shape, const SchemePasses& scheme, const LeftOut& left_out, Observations& into) {
  RoundTimes history;
  bool any = false;
  std::map<std::int64_t, RoundTimes> by_count;
  for_points(shape, scheme.name, [&](std::size_t table, std::int64_t candidates, const PointTimings& point) {
    if (left_out.candidates.contains(candidates)) return;
    for (const Timing& timing : prevailing(point)) {
      if (!timing.prefill_s || !timing.scoring_s || *timing.prefill_s <= 0 || *timing.scoring_s <= 0) {
        continue;
      }
      history.add(table, timing.round, *timing.prefill_s);
      any = true;
      by_count[timing.measured_candidates].add(table, timing.round, *timing.scoring_s);
    }
  });
  // What an empty history takes is no work of it.
  if (any && shape.work.history_length > 0) {
    into[kPrefillPass].push_back({scheme.history(shape.work), history.middle()});
  }
  for (const auto& [count, times] : by_count) {
    into[kScoringPass].push_back({scheme.candidates(shape.work, count), times.middle()});
  }
}

std::vector<std::string> passes_of(const SurfaceFamily& family) {
  if (family.scheme.history) return {kNaivePass, kPrefillPass, kScoringPass};
  return {kNaivePass, kScoringPass};
}

std::vector<SurfaceTerm> fit_pass(const std::string& pass, const std::vector<Observation>& rows, Cache cache_bytes) {
  std::vector<SurfaceTerm> terms;
  for (const TermKind& kind : kTerms) {
    if (kind.only_of == nullptr || pass == kind.only_of) terms.push_back({pass, kind.name, kind.unit, 0, 0});
  }
  const auto count = static_cast<Eigen::Index>(rows.size()), columns = static_cast<Eigen::Index>(terms.size());
  Eigen::MatrixXd relative(count, columns);
  for (Eigen::Index i = 0; i < count; ++i) {
    const Observation& row = rows[static_cast<std::size_t>(i)];
    for (Eigen::Index c = 0; c < columns; ++c) {
      relative(i, c) = term_amount(terms[static_cast<std::size_t>(c)], row.work, cache_bytes) / row.seconds;
    }
  }
  const Eigen::VectorXd found = non_negative_least_squares(relative, Eigen::VectorXd::Ones(count));
  const Eigen::VectorXd predicted = relative * found;
  for (Eigen::Index c = 0; c < columns; ++c) {
    SurfaceTerm& term = terms[static_cast<std::size_t>(c)];
    term.seconds_per_unit = found(c);
    for (Eigen::Index i = 0; i < count; ++i) {
      if (predicted(i) > 0) term.largest_share = std::max(term.largest_share, relative(i, c) * found(c) / predicted(i));
    }
  }
  return terms;
}

double naive_request(const Surface& surface, const SurfaceFamily& family, const WorkShape& shape,
                     std::int64_t candidates) {
  return surface_seconds(surface, kNaivePass, family.naive.candidates(shape, candidates));
}
double scheme_request(const Surface& surface, const SurfaceFamily& family, const WorkShape& shape,
                      std::int64_t candidates) {
  const double history =
      family.scheme.history ? surface_seconds(surface, kPrefillPass, family.scheme.history(shape)) : 0;
  return history + surface_seconds(surface, kScoringPass, family.scheme.candidates(shape, candidates));
}

/// One request as measured and as a surface has it.
struct Request {
  const ShapeData* shape;
  std::int64_t candidates;
  bool naive;
  double predicted_s, measured_s;
  double error() const { return predicted_s / measured_s - 1; }
};

/// `wanted(shape index, N)` picks the requests.
template <typename Wanted>
std::vector<Request> requests(const std::vector<ShapeData>& data, const SurfaceFamily& family, const Surface& surface,
                              const Wanted& wanted) {
  std::vector<Request> all;
  for (std::size_t i = 0; i < data.size(); ++i) {
    for (const bool naive : {true, false}) {
      for (const auto& [candidates, seconds] : naive ? data[i].naive_s : data[i].scheme_s) {
        if (!wanted(i, candidates)) continue;
        const double predicted = naive ? naive_request(surface, family, data[i].work, candidates)
                                       : scheme_request(surface, family, data[i].work, candidates);
        all.push_back({&data[i], candidates, naive, predicted, seconds});
      }
    }
  }
  return all;
}

/// The whole procedure on what is not left out; only terms and cache are filled. nullopt when a pass has no row left.
std::optional<Surface> fit_without(const std::vector<ShapeData>& data, const SurfaceFamily& family,
                                   const std::vector<LeftOut>& left_out) {
  Observations rows;
  for (std::size_t i = 0; i < data.size(); ++i) {
    if (left_out[i].all) continue;
    observe_whole(data[i], family.naive, left_out[i], kNaivePass, rows);
    if (family.scheme.history) {
      observe_parts(data[i], family.scheme, left_out[i], rows);
    } else {
      observe_whole(data[i], family.scheme, left_out[i], kScoringPass, rows);
    }
  }
  const std::vector<std::string> passes = passes_of(family);
  for (const std::string& pass : passes) {
    if (rows[pass].empty()) return std::nullopt;
  }
  const auto fit_with = [&](Cache cache_bytes) {
    Surface surface;
    surface.cache_bytes = cache_bytes;
    for (const std::string& pass : passes) {
      for (SurfaceTerm& term : fit_pass(pass, rows[pass], cache_bytes)) surface.terms.push_back(std::move(term));
    }
    return surface;
  };
  // Of whole requests where a prefill is timed apart, else of the timings themselves, so that one which serves an
  // N that is left out has no say through another N.
  const auto mean_square = [&](const Surface& surface) {
    std::vector<double> squares;
    for (const std::string& pass : passes) {
      if (pass != kNaivePass && family.scheme.history) continue;
      for (const Observation& row : rows.at(pass)) {
        const double error = surface_seconds(surface, pass, row.work) / row.seconds - 1;
        squares.push_back(error * error);
      }
    }
    if (!family.scheme.history) return mean(std::move(squares));
    for (const Request& request : requests(data, family, surface, [&](std::size_t shape, std::int64_t candidates) {
           return !left_out[shape].all && !left_out[shape].candidates.contains(candidates);
         })) {
      if (!request.naive) squares.push_back(request.error() * request.error());
    }
    return mean(std::move(squares));
  };
  Surface best = fit_with(std::nullopt);
  const double without = mean_square(best);
  if (without <= kExact * kExact) return best;
  double least = kClearlySmaller * without;
  for (int mebibytes = 1; mebibytes <= 64; mebibytes *= 2) {
    Surface surface = fit_with(mebibytes * 1048576.0);
    if (const double square = mean_square(surface); square < least) {
      least = square;
      best = std::move(surface);
    }
  }
  return best;
}

HoldoutErrors summary(const std::string& left_out, std::int64_t points, const std::vector<Request>& requests) {
  std::vector<double> errors;
  for (const Request& request : requests) errors.push_back(100 * std::abs(request.error()));
  return {left_out, points, median(errors), quantile(errors, 0.9), quantile(errors, 1)};
}

/// A seeded share of the (shape, N) that both schemes have, at least one.
std::vector<LeftOut> random_points(const std::vector<ShapeData>& data, const SurfaceOptions& options) {
  std::vector<std::pair<std::size_t, std::int64_t>> points;
  for (std::size_t i = 0; i < data.size(); ++i) {
    for (const auto& [candidates, seconds] : data[i].scheme_s) {
      if (data[i].naive_s.contains(candidates)) points.emplace_back(i, candidates);
    }
  }
  const RandomStream random(options.seed, 0x686f6c64ULL);
  for (std::size_t i = points.size(); i > 1; --i) std::swap(points[i - 1], points[random.bits(i) % i]);
  const double wanted = std::round(options.holdout * static_cast<double>(points.size()));
  const auto count = std::min(points.size(), static_cast<std::size_t>(std::max(1.0, wanted)));
  std::vector<LeftOut> left_out(data.size());
  for (std::size_t i = 0; i < count; ++i) left_out[points[i].first].candidates.insert(points[i].second);
  return left_out;
}

void hold_points_out(const std::vector<ShapeData>& data, const SurfaceFamily& family, const SurfaceOptions& options,
                     Surface& surface) {
  const std::vector<LeftOut> left_out = random_points(data, options);
  const std::optional<Surface> blind = fit_without(data, family, left_out);
  if (!blind) return;
  const std::vector<Request> unseen = requests(data, family, *blind, [&](std::size_t shape, std::int64_t candidates) {
    return left_out[shape].candidates.contains(candidates);
  });
  if (unseen.empty()) return;
  std::int64_t points = 0;
  for (const LeftOut& shape : left_out) points += static_cast<std::int64_t>(shape.candidates.size());
  surface.errors.push_back(summary("points", points, unseen));
  for (const Request& request : unseen) {
    surface.held_out.push_back({request.shape->history_length, request.shape->layers, request.candidates,
                                request.naive ? family.naive.name : family.scheme.name, request.predicted_s,
                                request.measured_s, 100 * request.error()});
  }
}

void hold_shapes_out(const std::vector<ShapeData>& data, const SurfaceFamily& family, Surface& surface) {
  std::vector<Request> unseen;
  std::vector<double> squares;
  std::int64_t points = 0;
  for (std::size_t i = 0; i < data.size(); ++i) {
    std::vector<LeftOut> left_out(data.size());
    left_out[i].all = true;
    const std::optional<Surface> blind = fit_without(data, family, left_out);
    if (!blind) continue;
    std::map<std::int64_t, double> naive_log;
    std::set<std::int64_t> seen;
    for (const Request& request :
         requests(data, family, *blind, [&](std::size_t shape, std::int64_t) { return shape == i; })) {
      unseen.push_back(request);
      seen.insert(request.candidates);
      const double log_error = std::log(request.predicted_s / request.measured_s);
      if (request.naive) {
        naive_log[request.candidates] = log_error;
      } else if (const auto naive = naive_log.find(request.candidates); naive != naive_log.end()) {
        squares.push_back((naive->second - log_error) * (naive->second - log_error));
      }
    }
    points += static_cast<std::int64_t>(seen.size());
  }
  if (unseen.empty()) return;
  surface.errors.push_back(summary("shapes", points, unseen));
  if (!squares.empty()) surface.speedup_log_error = std::sqrt(mean(std::move(squares)));
}

}  // namespace

std::optional<Surface> fit_surface(const std::vector<SurfaceCase>& cases, const SurfaceFamily& family,
                                   const SurfaceOptions& options) {
  assert(options.holdout >= 0 && options.holdout < 1);
  const std::vector<ShapeData> data = load(cases, family);
  if (data.size() < kMinSurfaceShapes) return std::nullopt;
  std::optional<Surface> fitted = fit_without(data, family, std::vector<LeftOut>(data.size()));
  if (!fitted) return std::nullopt;
  Surface& surface = *fitted;
  surface.scheme = family.scheme.name;
  surface.shapes = static_cast<std::int64_t>(data.size());
  std::set<std::int64_t> lengths, layers, candidates;
  for (const ShapeData& shape : data) {
    lengths.insert(shape.history_length);
    layers.insert(shape.layers);
    for (const auto& [count, seconds] : shape.scheme_s) candidates.insert(count);
  }
  surface.min_history = *lengths.begin();
  surface.max_history = *lengths.rbegin();
  surface.min_layers = *layers.begin();
  surface.max_layers = *layers.rbegin();
  surface.min_candidates = *candidates.begin();
  surface.max_candidates = *candidates.rbegin();
  if (options.holdout > 0) hold_points_out(data, family, options, surface);
  hold_shapes_out(data, family, surface);
  return fitted;
}

double surface_seconds(const Surface& surface, const std::string& pass, const PassWork& work) {
  double seconds = 0;
  for (const SurfaceTerm& term : surface.terms) {
    if (term.pass == pass) seconds += term.seconds_per_unit * term_amount(term, work, surface.cache_bytes);
  }
  return seconds;
}

double term_seconds(const Surface& surface, const std::string& pass, const std::string& name, const PassWork& work) {
  double seconds = 0;
  for (const SurfaceTerm& term : surface.terms) {
    if (term.pass == pass && term.name == name) {
      seconds += term.seconds_per_unit * term_amount(term, work, surface.cache_bytes);
    }
  }
  return seconds;
}

RequestSeconds request_seconds(const Surface& surface, const SurfaceFamily& family, std::int64_t history_length,
                               std::int64_t layers, std::int64_t candidates) {
  const WorkShape shape = work_at(family, history_length, layers);
  RequestSeconds seconds;
  seconds.naive_s = naive_request(surface, family, shape, candidates);
  if (family.scheme.history) seconds.prefill_s = surface_seconds(surface, kPrefillPass, family.scheme.history(shape));
  seconds.candidates_s = surface_seconds(surface, kScoringPass, family.scheme.candidates(shape, candidates));
  return seconds;
}

std::vector<Prediction> predict_surface(const Surface& surface, const SurfaceFamily& family,
                                        const std::vector<std::int64_t>& history_lengths,
                                        const std::vector<std::int64_t>& layers,
                                        const std::vector<std::int64_t>& candidates, std::int64_t reach) {
  const auto inside = [](std::int64_t value, std::int64_t least, std::int64_t most) {
    return least <= value && value <= most;
  };
  std::vector<Prediction> predictions;
  for (const std::int64_t length : history_lengths) {
    for (const std::int64_t depth : layers) {
      if (length % family.token_merge != 0 || depth <= family.shape.candidate_from_layer) continue;
      const WorkShape shape = work_at(family, length, depth);
      for (const std::int64_t count : candidates) {
        Prediction prediction;
        prediction.history_length = length;
        prediction.layers = depth;
        prediction.candidates = count;
        const bool in_box = inside(length, surface.min_history, surface.max_history) &&
                            inside(depth, surface.min_layers, surface.max_layers) &&
                            inside(count, surface.min_candidates, surface.max_candidates);
        prediction.source = in_box ? Source::interpolated : Source::extrapolated;
        if (count > reach) {
          prediction.reason = "beyond 4 times the largest measured N=" + std::to_string(surface.max_candidates) +
                              ": measure larger N, or --extrapolate";
          predictions.push_back(std::move(prediction));
          continue;
        }
        prediction.by = "surface";
        prediction.naive_seconds = naive_request(surface, family, shape, count);
        prediction.scheme_seconds = scheme_request(surface, family, shape, count);
        if (!(*prediction.naive_seconds > 0 && *prediction.scheme_seconds > 0)) continue;
        Estimate speedup{*prediction.naive_seconds / *prediction.scheme_seconds, std::nullopt};
        if (surface.speedup_log_error) {
          const double half = student_t_factor(0.95, surface.shapes - 1) * *surface.speedup_log_error;
          speedup.ci95 = Interval{speedup.value * std::exp(-half), speedup.value * std::exp(half)};
          prediction.held_out_error_pct = 100 * std::expm1(*surface.speedup_log_error);
        }
        prediction.speedup = speedup;
        predictions.push_back(std::move(prediction));
      }
    }
  }
  return predictions;
}

}  // namespace kvcast::analysis
