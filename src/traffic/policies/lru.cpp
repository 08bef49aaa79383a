// Least recently used: the cache itself keeps its entries in that order, for the time to live.
#include "traffic/policies/policy.h"

namespace kvcast::traffic {
namespace {

class Lru final : public EvictionPolicy {
 public:
  std::uint32_t victim(std::uint32_t oldest) const noexcept override { return oldest; }
};

}  // namespace

PolicyKind lru() {
  return {"lru", "the user unseen for longest", false,
          []() -> std::unique_ptr<EvictionPolicy> { return std::make_unique<Lru>(); }};
}

}  // namespace kvcast::traffic
