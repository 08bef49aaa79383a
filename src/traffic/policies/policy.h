// Who leaves a full cache: a file per policy, and THE list.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "traffic/request.h"

namespace kvcast::traffic {

/// Chooses who goes. Entries are known by their place in the cache, which another gets when they have left.
class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;
  /// The request asks for this entry, or makes it. Allocates for an entry that is new alone.
  virtual void use(std::uint32_t /*entry*/, const Request& /*request*/) {}
  /// It has left.
  virtual void drop(std::uint32_t /*entry*/) noexcept {}
  /// The next to leave, of at least one. oldest: the one whose last use is longest ago.
  virtual std::uint32_t victim(std::uint32_t oldest) const noexcept = 0;
};

struct PolicyKind {
  std::string name, doc;
  bool foresees = false;  ///< needs Request::next_use, for which the whole stream must be known
  std::unique_ptr<EvictionPolicy> (*make)() = nullptr;
};

/// THE list; the first is the default.
const std::vector<PolicyKind>& policies();
/// nullptr when there is none of this name.
const PolicyKind* find_policy(const std::string& name);

}  // namespace kvcast::traffic
