// THE list of schemes, and nothing else: tests put a list of broken ones in its place (tests/faulty).
#include "engine/builtin/schemes/scheme.h"

namespace kvcast {
namespace {

using Options = SchemeOptions;

std::int64_t none(const SchemeSize&) { return 0; }
// Scaling up whole micro-batches is exact; one pass for all N has nothing to scale from.
std::int64_t micro_batch(const SchemeSize& size) { return size.options.micro_batch; }

double no_user(const WorkShape&, const Options&) { return 0; }
double whole_history(const WorkShape& s, const Options&) { return history_flops(s); }
double new_history(const WorkShape& s, const Options& o) { return append_flops(s, o.append); }

double candidates_work(const WorkShape& s, std::int64_t n) { return static_cast<double>(n) * candidate_flops(s); }
double naive_work(const WorkShape& s, std::int64_t n, const Options&) {
  return static_cast<double>(n) * naive_flops(s);
}
double sharing_work(const WorkShape& s, std::int64_t n, const Options& o) {
  return whole_history(s, o) + candidates_work(s, n);
}
double packed_work(const WorkShape& s, std::int64_t n, const Options& o) {
  return packed_flops(s, n, o.micro_batch == 0 ? n : o.micro_batch);
}
double cached_work(const WorkShape& s, std::int64_t n, const Options&) { return candidates_work(s, n); }
double append_work(const WorkShape& s, std::int64_t n, const Options& o) {
  return new_history(s, o) + candidates_work(s, n);
}

double naive_kv(const WorkShape& s, std::int64_t) { return static_cast<double>(naive_kv_bytes(s)); }
// One layer of the history; candidates keep their own keys and values as activations.
double packed_kv(const WorkShape& s, std::int64_t) {
  WorkShape layer = s;
  layer.layers = 1;
  layer.candidate_from_layer = 0;
  return static_cast<double>(kv_cache_bytes(layer));
}
double one_cache(const WorkShape& s, std::int64_t) { return static_cast<double>(kv_cache_bytes(s)); }
double cache_each(const WorkShape& s, std::int64_t n) { return static_cast<double>(n) * one_cache(s, n); }
double every_layer(const WorkShape& s, std::int64_t) {
  WorkShape all = s;
  all.candidate_from_layer = 0;
  return static_cast<double>(kv_cache_bytes(all));
}

}  // namespace

const std::vector<SchemeEntry>& scheme_list() {
  static const std::vector<SchemeEntry> list = {
      // name, doc, shares, user_pass, runs_history, law, ...
      {"naive", "every candidate runs the whole history with it", false, false, true, false, make_naive, naive_unit,
       naive_bytes, no_user, naive_work, naive_kv},
      {"shared", "the history runs once; candidates attend to one shared KV cache", true, true, false, true,
       make_shared, none, shared_bytes, whole_history, sharing_work, one_cache},
      {"shared-copy", "as shared, but the cache is copied for each candidate first", true, true, false, true,
       make_shared_copy, none, shared_copy_bytes, whole_history, sharing_work, cache_each},
      {"packed", "history and candidates in one pass, again for every micro-batch", true, false, true, true,
       make_packed, micro_batch, packed_bytes, no_user, packed_work, packed_kv},
      {"cached", "a returning user: the whole history is in the KV cache already", true, false, false, false,
       make_cached, none, shared_bytes, no_user, cached_work, one_cache},
      {"append", "a returning user: only the newest history tokens (--append) are not in the cache", true, true, false,
       false, make_append, none, append_bytes, new_history, append_work, every_layer},
  };
  return list;
}

}  // namespace kvcast
