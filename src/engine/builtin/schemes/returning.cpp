// cached and append: a user who comes back. The K,V of an earlier request are still there, all of them or all but the
// newest; what that gains comes on top of sharing within the request.
#include <algorithm>
#include <memory>

#include "engine/builtin/schemes/sharing.h"

namespace kvcast {
namespace {

class Cached final : public SharingScheme {
 public:
  explicit Cached(const SchemeContext& context) : SharingScheme(context) { SharingScheme::user_pass(); }
  void take_history(std::span<const float> history) override {
    SharingScheme::take_history(history);
    SharingScheme::user_pass();
  }
  void spoil_history() noexcept override {}  // the earlier request did it
  void user_pass() noexcept override {}
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
  void user_pass() noexcept override { fill(context_.history_length, fresh_); }
  std::string form_at(std::int64_t) const override { return std::to_string(fresh_) + " new"; }

 private:
  std::int64_t fresh_;
};

}  // namespace

std::unique_ptr<Scheme> make_cached(const SchemeContext& context) { return std::make_unique<Cached>(context); }
std::unique_ptr<Scheme> make_append(const SchemeContext& context) { return std::make_unique<Append>(context); }

double append_bytes(const ModelShape& shape, const SchemeSize& size) {
  ModelShape all = shape;
  all.candidate_from_layer = 0;
  return shared_bytes(all, size);
}

}  // namespace kvcast
