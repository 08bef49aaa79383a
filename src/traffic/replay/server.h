// One worker's engine: the passes of a request, on tokens that can be made again.
#pragma once

#include <cstdint>
#include <unordered_set>

#include "base/buffer.h"
#include "engine/builtin/model/forward.h"

namespace kvcast::traffic {

/// What users and candidates are made of: a table of items, as a ranker's embedding table. Which item token i of a user
/// is depends on (seed, user, i) alone, so that a history that grew begins with what it was. Read-only.
class Items {
 public:
  Items(std::int64_t dim, std::uint64_t seed);
  static double bytes(std::int64_t dim);

  /// Tokens [first, first + count) of a user, [count][dim].
  void history(std::uint64_t user, std::int64_t first, std::int64_t count, float* tokens) const noexcept;
  /// Candidates of a request, [count][dim].
  void candidates(std::int64_t number, std::int64_t count, float* tokens) const noexcept;

 private:
  void gather(std::uint64_t stream, std::int64_t first, std::int64_t count, float* tokens) const noexcept;

  std::int64_t dim_;
  std::uint64_t seed_;
  Buffer<float> rows_;  ///< [kItems][dim]
};

/// A request as the engine sees it.
struct Work {
  std::int64_t number = 0;  ///< its candidates
  std::uint64_t user = 0;
  std::int64_t first = 0;   ///< token of the user that the history begins with: those before are cut off
  std::int64_t length = 0;  ///< of the history
  std::int64_t known = 0;   ///< tokens that the cache holds
  std::int64_t candidates = 0;
};

/// Made and used on its worker's thread.
class Server {
 public:
  /// For histories and candidates up to these. Errors: std::bad_alloc.
  Server(const Model& model, const Items& items, int threads, bool trim, std::int64_t max_history,
         std::int64_t max_candidates);
  static double bytes(const ModelShape& shape, int threads, std::int64_t max_history, std::int64_t max_candidates);

  /// Makes the primitives for such a request; false when they were there.
  bool prepare(const Work& work);
  /// The history pass over what the cache lacks, which leaves it with the whole history; then the candidates. Tokens
  /// are gathered from the items, of the history the new ones only. Allocates nothing. `cache` has room for the
  /// history.
  void history(const Work& work, KvCache& cache) noexcept;
  void candidates(const Work& work, const KvCache& cache) noexcept;
  const Buffer<float>& outputs() const noexcept { return outputs_; }  ///< of the last candidates, [count][dim]
  int threads() const noexcept { return workspace_.threads; }

 private:
  HistoryPass pass(const Work& work) const noexcept { return {work.length, work.length - work.known, true, trim_}; }

  const Items* items_;
  bool trim_;
  Workspace workspace_;
  Forward forward_;
  Buffer<float> tokens_, candidates_, outputs_;
  std::unordered_set<std::uint64_t> prepared_histories_, prepared_candidates_;
};

}  // namespace kvcast::traffic
