// Who is needed last goes first, the newcomer too: most hits of all where everyone takes the same bytes. Nobody can
// know that while requests come, so it shows what is left to gain. Source: Belady, "A study of replacement algorithms
// for a virtual-storage computer", 1966.
#include <set>
#include <utility>

#include "traffic/policies/policy.h"

namespace kvcast::traffic {
namespace {

class Belady final : public EvictionPolicy {
 public:
  void use(std::uint32_t entry, const Request& request) override {
    if (entry >= next_.size()) next_.resize(entry + 1, kNotHeld);
    auto node = held_.extract({next_[entry], entry});
    next_[entry] = request.next_use;
    if (node.empty()) {
      held_.emplace(request.next_use, entry);
    } else {
      node.value().first = request.next_use;
      held_.insert(std::move(node));
    }
  }
  void drop(std::uint32_t entry) noexcept override {
    held_.erase({next_[entry], entry});
    next_[entry] = kNotHeld;
  }
  std::uint32_t victim(std::uint32_t) const noexcept override { return held_.rbegin()->second; }

 private:
  static constexpr std::int64_t kNotHeld = -1;
  std::vector<std::int64_t> next_;  // by entry
  std::set<std::pair<std::int64_t, std::uint32_t>> held_;
};

}  // namespace

PolicyKind belady() {
  return {"belady", "the user needed last, which only a complete log reveals", true,
          []() -> std::unique_ptr<EvictionPolicy> { return std::make_unique<Belady>(); }};
}

}  // namespace kvcast::traffic
