#include <algorithm>

#include "kvcast/traffic.h"
#include "traffic/policies/policy.h"

namespace kvcast {
namespace traffic {

PolicyKind lru(), belady();

const std::vector<PolicyKind>& policies() {
  static const std::vector<PolicyKind> kPolicies{lru(), belady()};
  return kPolicies;
}

const PolicyKind* find_policy(const std::string& name) {
  const auto& all = policies();
  const auto found = std::find_if(all.begin(), all.end(), [&](const PolicyKind& kind) { return kind.name == name; });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace traffic

std::vector<std::string> cache_policies() {
  std::vector<std::string> names;
  for (const traffic::PolicyKind& kind : traffic::policies()) names.push_back(kind.name);
  return names;
}

}  // namespace kvcast
