#include "traffic/replay/server.h"

#include <algorithm>
#include <cstring>

#include "base/random.h"
#include "engine/builtin/model/weights.h"

namespace kvcast::traffic {
namespace {

// More than any cache holds of a usual width, so that gathering reads memory as a ranker's own table does.
constexpr std::int64_t kItems = 16384;

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

Server::Server(const Service& service, const Items& items, std::int64_t dim, int threads, std::int64_t max_history,
               std::int64_t max_candidates)
    : items_(&items),
      dim_(dim),
      threads_(threads),
      worker_(service.make_worker(threads, max_history, max_candidates)),
      tokens_(max_history * dim),
      candidates_(max_candidates * dim),
      outputs_(max_candidates * dim) {}

double Server::bytes(const Service& service, std::int64_t dim, int threads, std::int64_t max_history,
                     std::int64_t max_candidates) {
  return service.worker_bytes(threads, max_history, max_candidates) +
         static_cast<double>(max_history + 2 * max_candidates) * static_cast<double>(dim) * sizeof(float);
}

bool Server::prepare(const Work& work) { return worker_->prepare({work.length, work.known}, work.candidates); }

void Server::history(const Work& work, UserKv& kv) noexcept {
  items_->history(work.user, work.first + work.known, work.length - work.known, tokens_.data() + work.known * dim_);
  worker_->prefill({work.length, work.known}, tokens_.data(), kv);
}

void Server::candidates(const Work& work, const UserKv& kv) noexcept {
  items_->candidates(work.number, work.candidates, candidates_.data());
  worker_->score({candidates_.data(), work.candidates, outputs_.data(), nullptr}, kv);
}

}  // namespace kvcast::traffic
