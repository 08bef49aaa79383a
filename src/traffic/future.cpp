#include "traffic/future.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <utility>

#include "traffic/user_cache.h"

namespace kvcast::traffic {
namespace {

class Foreseen final : public RequestSource {
 public:
  Foreseen(std::unique_ptr<RequestSource> requests, std::vector<std::uint32_t> next)
      : requests_(std::move(requests)), next_(std::move(next)) {}
  std::size_t next(std::span<Request> block) override {
    const std::size_t count = requests_->next(block);
    for (Request& request : block.first(count)) {
      const std::uint32_t next = next_[at_++];
      request.next_use = next == Recording::kNone ? Request::kNever : next;
    }
    return count;
  }

 private:
  std::unique_ptr<RequestSource> requests_;
  std::vector<std::uint32_t> next_;
  std::size_t at_ = 0;
};

}  // namespace

Recording::Recording(const UserCacheOptions& options, std::int64_t max_history, std::int64_t most)
    : options_(options), max_history_(max_history), most_(std::min<std::int64_t>(most, kNone)) {}

void Recording::add(const Request& request) {
  if (!complete_) return;
  if (static_cast<std::int64_t>(pages_.size()) == most_) {
    *this = Recording(options_, max_history_, 0);
    complete_ = false;
    return;
  }
  if (pages_.empty()) first_s_ = request.arrival_s;
  last_s_ = request.arrival_s;
  const auto i = static_cast<std::uint32_t>(pages_.size());
  const std::int64_t pages = pages_of(limited(request.history, max_history_), options_.page_tokens);
  const std::uint32_t tag = UserIndex::tag(request.user);
  std::uint32_t at = index_.find(tag, [&](std::uint32_t u) { return users_[u].user == request.user; });
  std::uint32_t before = kNone;
  if (at == kNone) {
    at = static_cast<std::uint32_t>(users_.size());
    users_.push_back({.user = request.user});
    index_.insert(tag, at);
  } else if (users_[at].history > 0 && still_the_beginning(users_[at].history, request.history, max_history_)) {
    ++users_[at].reuses;
    if (!(request.arrival_s - users_[at].asked > options_.ttl_s.value_or(std::numeric_limits<double>::infinity()))) {
      before = users_[at].last;
    }
  }
  User& user = users_[at];
  user.history = request.history;
  user.asked = request.arrival_s;
  ++user.requests;
  user.pages += static_cast<double>(pages);
  user.last = i;
  pages_.push_back(pages);
  before_.push_back(before);
}

std::vector<std::uint32_t> Recording::next() const {
  std::vector<std::uint32_t> next(before_.size(), kNone);
  for (std::size_t i = 0; i < next.size(); ++i) {
    if (before_[i] != kNone) next[before_[i]] = static_cast<std::uint32_t>(i);
  }
  return next;
}

std::vector<UserRequests> Recording::users() const {
  std::vector<UserRequests> users;
  users.reserve(users_.size());
  for (const User& user : users_) {
    users.push_back({user.requests, user.reuses, user.pages / static_cast<double>(user.requests)});
  }
  return users;
}

std::unique_ptr<RequestSource> foreseen(std::unique_ptr<RequestSource> requests, RequestSource& same,
                                        const UserCacheOptions& options, std::int64_t max_history) {
  Recording recording(options, max_history, kMaxOffline);
  for_each_block(same, [&](std::span<const Request> block) {
    for (const Request& request : block) recording.add(request);
  });
  assert(recording.complete());
  return std::make_unique<Foreseen>(std::move(requests), recording.next());
}

}  // namespace kvcast::traffic
