// One worker of a replay: the passes of a request, on tokens that can be made again.
#pragma once

#include <cstdint>
#include <memory>

#include "base/buffer.h"
#include "engine/engine.h"

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
  /// For histories and candidates up to these, on tokens of width `dim`. Errors: std::bad_alloc.
  Server(const Service& service, const Items& items, std::int64_t dim, int threads, std::int64_t max_history,
         std::int64_t max_candidates);
  static double bytes(const Service& service, std::int64_t dim, int threads, std::int64_t max_history,
                      std::int64_t max_candidates);

  /// Makes ready for such a request; false when it was.
  bool prepare(const Work& work);
  /// The prefill of what the cache lacks, which leaves it with the whole history; then the candidates. Tokens are
  /// gathered from the items, of the history the new ones only. Allocates nothing. `kv` has room for the history.
  void history(const Work& work, UserKv& kv) noexcept;
  void candidates(const Work& work, const UserKv& kv) noexcept;
  void copy(const UserKv& from, std::int64_t tokens, UserKv& to) noexcept { worker_->copy(from, tokens, to); }
  const Buffer<float>& outputs() const noexcept { return outputs_; }  ///< of the last candidates, [count][dim]
  int threads() const noexcept { return threads_; }

 private:
  const Items* items_;
  std::int64_t dim_;
  int threads_;
  std::unique_ptr<ServiceWorker> worker_;
  Buffer<float> tokens_, candidates_, outputs_;
};

}  // namespace kvcast::traffic
