#include "traffic/replay/server.h"

#include <algorithm>
#include <cstring>

#include "base/random.h"
#include "engine/builtin/schemes/sharing.h"

namespace kvcast::traffic {
namespace {

// More than any cache holds of a usual width, so that gathering reads memory as a ranker's own table does.
constexpr std::int64_t kItems = 16384;

std::uint64_t pair_key(std::int64_t a, std::int64_t b) {
  return static_cast<std::uint64_t>(a) << 32 | static_cast<std::uint64_t>(b);
}

}  // namespace

Items::Items(std::int64_t dim, std::uint64_t seed) : dim_(dim), seed_(seed), rows_(kItems * dim) {
  seeded_candidates(seed, 0, kItems, dim, rows_.span());
}

double Items::bytes(std::int64_t dim) { return static_cast<double>(kItems * dim) * sizeof(float); }

void Items::gather(std::uint64_t stream, std::int64_t first, std::int64_t count, float* tokens) const noexcept {
  const RandomStream ids(seed_, stream);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto item = static_cast<std::int64_t>(ids.bits(static_cast<std::uint64_t>(first + i)) % kItems);
    std::memcpy(tokens + i * dim_, rows_.data() + item * dim_, static_cast<std::size_t>(dim_) * sizeof(float));
  }
}

void Items::history(std::uint64_t user, std::int64_t first, std::int64_t count, float* tokens) const noexcept {
  gather(mix64(user) ^ 0x68697374ULL, first, count, tokens);
}

void Items::candidates(std::int64_t number, std::int64_t count, float* tokens) const noexcept {
  gather(mix64(~static_cast<std::uint64_t>(number)) ^ 0x63616e64ULL, 0, count, tokens);
}

Server::Server(const Model& model, const Items& items, int threads, bool trim, std::int64_t max_history,
               std::int64_t max_candidates)
    : items_(&items),
      trim_(trim),
      workspace_(model, threads, std::max<std::int64_t>(1, sharing_rows(max_history, max_candidates))),
      forward_(workspace_),
      tokens_(max_history * model.shape().dim),
      candidates_(max_candidates * model.shape().dim),
      outputs_(max_candidates * model.shape().dim) {}

double Server::bytes(const ModelShape& shape, int threads, std::int64_t max_history, std::int64_t max_candidates) {
  return Workspace::bytes(shape, threads, sharing_rows(max_history, max_candidates)) +
         static_cast<double>(max_history + 2 * max_candidates) * static_cast<double>(shape.dim) * sizeof(float);
}

bool Server::prepare(const Work& work) {
  bool made = false;
  if (work.known < work.length && prepared_histories_.insert(pair_key(work.length, work.known)).second) {
    forward_.prepare(pass(work));
    made = true;
  }
  if (work.candidates > 0 && prepared_candidates_.insert(pair_key(work.candidates, work.length)).second) {
    for (const std::int64_t block : {std::min(work.candidates, kCandidateBlock), work.candidates % kCandidateBlock}) {
      if (block == 0) continue;
      CandidatePass candidates;
      candidates.count = block;
      forward_.prepare(candidates, work.length);
    }
    made = true;
  }
  return made;
}

void Server::history(const Work& work, KvCache& cache) noexcept {
  if (work.length == 0) cache.length = 0;
  if (work.known == work.length) return;  // others may be reading it
  const std::int64_t dim = workspace_.shape().dim;
  items_->history(work.user, work.first + work.known, work.length - work.known, tokens_.data() + work.known * dim);
  forward_.prefill(pass(work), tokens_.data(), cache);
}

void Server::candidates(const Work& work, const KvCache& cache) noexcept {
  const std::int64_t dim = workspace_.shape().dim;
  items_->candidates(work.number, work.candidates, candidates_.data());
  for (std::int64_t first = 0; first < work.candidates; first += kCandidateBlock) {
    CandidatePass pass;
    pass.count = std::min(kCandidateBlock, work.candidates - first);
    forward_.candidates(pass, candidates_.data() + first * dim, cache, outputs_.data() + first * dim);
  }
}

}  // namespace kvcast::traffic
