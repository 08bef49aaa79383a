// Time of naive and of one sharing scheme over history length, layers and candidates, fitted to a grid of cases.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analysis/composition.h"
#include "kvcast/cost_model.h"
#include "kvcast/report.h"

namespace kvcast::analysis {

/// What all cases of a surface have in common.
struct SurfaceFamily {
  WorkShape shape;               ///< history_length and layers are those of each case
  std::int64_t token_merge = 1;  ///< K: tokens per position of the history
  SchemePasses naive, scheme;
};

/// The samples of one shape. layers must exceed the family's candidate_from_layer, history_length be a multiple of its
/// token_merge.
struct SurfaceCase {
  std::int64_t history_length = 0;  ///< L, tokens
  std::int64_t layers = 0;
  TimingTable timings;
};

struct SurfaceOptions {
  double holdout = 0;      ///< share of the (L, N, layers) to leave out for the errors of "points"; 0: no such errors
  std::uint64_t seed = 0;  ///< which ones
};

/// SurfaceTerm::pass and the SurfaceTerm::name that others ask for.
inline constexpr const char *kNaivePass = "naive", *kPrefillPass = "prefill", *kScoringPass = "scoring";
inline constexpr const char *kDenseTerm = "dense FLOPs", *kAttentionTerm = "attention FLOPs",
                            *kWeightsTerm = "weight bytes", *kKvTerm = "KV bytes",
                            *kBeyondCacheTerm = "bytes beyond cache", *kTeamLayersTerm = "team layers",
                            *kPassTerm = "pass";

/// Distinct (L, layers) that a surface needs.
inline constexpr std::size_t kMinSurfaceShapes = 4;

/// Fits seconds = Σ coefficient · amount for every pass: naive's forward, the scheme's prefill if it has one, and
/// its scoring pass. The amounts are PassWork's: dense and attention FLOPs; weight bytes; KV bytes (candidates only);
/// bytes of a walk beyond the cache, times walks; layers that all threads run together (naive only, which has both
/// kinds); walks. What a layer costs besides FLOPs and bytes (starting its products and parallel regions) is in the
/// weight bytes: within one family both grow with layers alike, and no fit could tell them apart. Terms overlap in a
/// real machine; the sum is right where one of them dominates.
///
/// Data: one row per pass, shape and number of candidates that were timed, the median over rounds of its seconds.
/// Points that are scaled from one timing count as that timing, once. Assembled rows of a round share one prefill,
/// which counts once.
/// Method: non-negative least squares of the relative error, so that 2% of a millisecond counts like 2% of a second.
/// The cache is none or a power of two from 1 to 64 MiB, one for all passes: the one with the smallest squared relative
/// error of naive's timings and of whole requests of the scheme, and only if that is clearly below the one without
/// (< 0.8x).
///
/// errors: "shapes" leaves one (L, layers) at a time out, border shapes included, so extrapolation is in it; "points"
/// leaves out a seeded share of the (L, N, layers), both schemes of it, in one further fit. A timing that serves
/// several N is left out with each of them; the prefill of a shape is still seen through its other N. Choice of
/// the cache and everything else is done again without what is left out. Errors are of the time of a whole request,
/// history and N candidates. The terms are fitted to everything.
///
/// nullopt below kMinSurfaceShapes distinct (L, layers) that have both schemes. L or layers alone may vary; terms that
/// then cannot be told apart are merged into the earliest. Does not depend on the order of cases and samples.
std::optional<Surface> fit_surface(const std::vector<SurfaceCase>& cases, const SurfaceFamily& family,
                                   const SurfaceOptions& options = {});

/// Seconds that all terms of `pass` give this work, and those that one of them does.
double surface_seconds(const Surface& surface, const std::string& pass, const PassWork& work);
double term_seconds(const Surface& surface, const std::string& pass, const std::string& name, const PassWork& work);

/// What a request takes by the surface, at any shape of the family; docs/method.md §18.
struct RequestSeconds {
  double naive_s = 0;       ///< for all N candidates
  double prefill_s = 0;     ///< of the scheme: its prefill, if it has one
  double candidates_s = 0;  ///< and everything beyond it
};
RequestSeconds request_seconds(const Surface& surface, const SurfaceFamily& family, std::int64_t history_length,
                               std::int64_t layers, std::int64_t candidates);

/// The surface at every combination of L, layers and N, in that order of loops, for shapes that were not measured;
/// layers not above candidate_from_layer and L that no whole number of positions makes are left out. source:
/// "interpolated" inside the box of the data, else "extrapolated"; beyond `reach` nothing is said of N. Interval of the
/// speed-up: e^±(t·s), s the RMS log error of the speed-up over the shapes left out (Surface::speedup_log_error), t
/// Student's 95% factor at shapes-1 degrees, because the points of one shape err together. Far outside the box it is
/// too narrow.
std::vector<Prediction> predict_surface(const Surface& surface, const SurfaceFamily& family,
                                        const std::vector<std::int64_t>& history_lengths,
                                        const std::vector<std::int64_t>& layers,
                                        const std::vector<std::int64_t>& candidates, std::int64_t reach);

}  // namespace kvcast::analysis
