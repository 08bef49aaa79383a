// cached and append: a user who comes back. The K,V of an earlier request are still there, all of them or all but the
// newest; what that gains comes on top of sharing within the request.
#include <algorithm>
#include <memory>

#include "engine/builtin/schemes/sharing.h"

namespace kvcast {
namespace {

class Cached final : public SharingScheme {
 public:
  explicit Cached(const SchemeContext& context) : SharingScheme(context) { SharingScheme::prefill(); }
  void take_history(std::span<const float> history) override {
    SharingScheme::take_history(history);
    SharingScheme::prefill();
  }
  void spoil_history() noexcept override {}  // the earlier request did it
  void prefill() noexcept override {}
};

class Append final : public SharingScheme {
 public:
  explicit Append(const SchemeContext& context)
      : SharingScheme(context, true), fresh_(std::min(context.options.append, context.history_length)) {
    const std::int64_t known = context.history_length - fresh_;
    forward_.prepare(history_pass(known, known));
    forward_.prepare(history_pass(context.history_length, fresh_));
    fill(known, known);
  }
  void take_history(std::span<const float> history) override {
    SharingScheme::take_history(history);
    const std::int64_t known = context_.history_length - fresh_;
    fill(known, known);
  }
  void spoil_history() noexcept override { cache_.spoil(context_.history_length - fresh_, context_.history_length); }
  void prefill() noexcept override { fill(context_.history_length, fresh_); }
  HowRun how_run(std::int64_t) const override { return {Execution::unknown, std::to_string(fresh_) + " new"}; }

 private:
  std::int64_t fresh_;
};

// A returning user's time is no N times anything that naive does.
const char* const kNoSurface = "a returning user's request follows no law of r";

double new_history_flops(const WorkShape& s, const SchemeOptions& o) { return append_flops(s, o.append); }

}  // namespace

SchemeEntry cached_scheme() {
  return {
      .name = "cached",
      .doc = "a returning user: the whole history is in the KV cache already",
      .shares = true,
      .make = make_scheme<Cached>,
      .bytes = sharing_bytes,
      .flops = [](const WorkShape& s, std::int64_t n, const SchemeOptions&) { return candidates_flops(s, n); },
      .kv_bytes = one_cache_bytes,
      .no_surface = kNoSurface,
  };
}

SchemeEntry append_scheme() {
  return {
      .name = "append",
      .doc = "a returning user: only the newest history tokens (--append) are not in the cache",
      .shares = true,
      .has_prefill = true,
      .make = make_scheme<Append>,
      // Every layer's K and V, for those of the tokens to come.
      .bytes =
          [](const ModelShape& shape, const SchemeSize& size) {
            ModelShape all = shape;
            all.candidate_from_layer = 0;
            return sharing_bytes(all, size);
          },
      .prefill_flops = new_history_flops,
      .flops = [](const WorkShape& s, std::int64_t n,
                  const SchemeOptions& o) { return new_history_flops(s, o) + candidates_flops(s, n); },
      .kv_bytes =
          [](const WorkShape& s, std::int64_t n) {
            WorkShape all = s;
            all.candidate_from_layer = 0;
            return one_cache_bytes(all, n);
          },
      .no_surface = kNoSurface,
  };
}

}  // namespace kvcast
