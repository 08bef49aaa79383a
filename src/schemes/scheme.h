// A scheme is one way to score N candidates against one user's history.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kvcast/config.h"
#include "kvcast/cost_model.h"
#include "model/transformer.h"

namespace kvcast {

/// What every scheme is given. The spans and the model outlive the scheme.
struct SchemeContext {
  const Model* model = nullptr;
  std::span<const float> history;  ///< [L][dim] in time order
  std::int64_t history_length = 0;
  Mask mask = Mask::causal;
  bool trim = true;
  int threads = 1;
  std::int64_t max_candidates = 0;  ///< largest N of any candidate pass
};

/// One scheme on one problem, with all its memory. Everything but the two passes may allocate.
class Scheme {
 public:
  virtual ~Scheme() = default;

  /// Makes ready for candidate passes of these sizes.
  virtual void prepare(std::span<const std::int64_t> counts) = 0;

  /// What is done once per request: the history. Nothing for a scheme without a history pass.
  virtual void user_pass() noexcept {}

  /// Scores `count` candidates. candidates: [count][dim], outputs: [count][dim].
  virtual void candidate_pass(const float* candidates, std::int64_t count, float* outputs) noexcept = 0;

  /// Ways to run that give the same outputs at different speeds; the fastest is picked by timing. At least one.
  virtual std::size_t forms() const { return 1; }
  virtual void choose_form(std::size_t) {}
  /// What the chosen form does with `candidates` of them, in words; empty when there is nothing to tell.
  virtual std::string form_at(std::int64_t) const { return ""; }
};

/// A line of THE list.
struct SchemeEntry {
  std::string name, doc;
  /// Reuses one history for all candidates, so needs a mask under which that is valid. Then it has a user pass.
  bool shares;
  std::unique_ptr<Scheme> (*make)(const SchemeContext&);
  /// Fewest candidates that run at the speed of many: what a larger N may be scaled from.
  std::int64_t (*unit)(std::int64_t history_length, int threads);
  /// Bytes beyond the weights for candidate passes up to `candidates`.
  double (*bytes)(const ModelShape&, std::int64_t history_length, std::int64_t candidates, int threads);
  /// FLOPs of N candidates, and bytes of K and V it holds for them.
  double (*flops)(const WorkShape&, std::int64_t candidates);
  double (*kv_bytes)(const WorkShape&, std::int64_t candidates);
};

/// All schemes; a new one is a file and a line here. The first is the baseline.
const std::vector<SchemeEntry>& scheme_list();
/// Entry by name; null when there is none.
const SchemeEntry* find_scheme(const std::string& name);

std::unique_ptr<Scheme> make_naive(const SchemeContext&);
std::int64_t naive_unit(std::int64_t history_length, int threads);
double naive_bytes(const ModelShape&, std::int64_t history_length, std::int64_t candidates, int threads);
std::unique_ptr<Scheme> make_shared(const SchemeContext&);
double shared_bytes(const ModelShape&, std::int64_t history_length, std::int64_t candidates, int threads);
std::unique_ptr<Scheme> make_shared_copy(const SchemeContext&);
double shared_copy_bytes(const ModelShape&, std::int64_t history_length, std::int64_t candidates, int threads);

}  // namespace kvcast
