#include "schemes/scheme.h"

namespace kvcast {
namespace {

std::int64_t one(std::int64_t, int) { return 1; }
double naive_work(const WorkShape& s, std::int64_t n) { return static_cast<double>(n) * naive_flops(s); }
double naive_kv(const WorkShape& s, std::int64_t) { return static_cast<double>(naive_kv_bytes(s)); }
double sharing_work(const WorkShape& s, std::int64_t n) {
  return history_flops(s) + static_cast<double>(n) * candidate_flops(s);
}
double one_cache(const WorkShape& s, std::int64_t) { return static_cast<double>(kv_cache_bytes(s)); }
double cache_each(const WorkShape& s, std::int64_t n) {
  return static_cast<double>(n) * static_cast<double>(kv_cache_bytes(s));
}

}  // namespace

const std::vector<SchemeEntry>& scheme_list() {
  static const std::vector<SchemeEntry> list = {
      {"naive", "every candidate runs the whole history with it", false, make_naive, naive_unit, naive_bytes,
       naive_work, naive_kv},
      {"shared", "the history runs once; candidates attend to one shared KV cache", true, make_shared, one,
       shared_bytes, sharing_work, one_cache},
      {"shared-copy", "as shared, but the cache is copied for each candidate first", true, make_shared_copy, one,
       shared_copy_bytes, sharing_work, cache_each},
  };
  return list;
}

const SchemeEntry* find_scheme(const std::string& name) {
  for (const SchemeEntry& entry : scheme_list()) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

}  // namespace kvcast
