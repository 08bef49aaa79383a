// Who hears of what a pass is doing: profiles, and the check of every layer.
#pragma once

#include <cstdint>
#include <span>

#include "engine/builtin/model/kv_cache.h"

namespace kvcast {

/// What a pass is doing, for a profile.
enum class Step { norm, matmul, gelu, pack, attention, copy };

/// Hears of every step of a pass, on the thread that leads it, right after the step; and of its layers, with the rows
/// of the stream as they are then, x: [rows][dim].
class StepListener {
 public:
  virtual ~StepListener() = default;
  virtual void step_done(Step) noexcept {}
  virtual void layer_begins(std::int64_t /*layer*/, std::span<const float> /*x*/) noexcept {}
  /// x: the rows that go on. cache: what the layer's attention has read.
  virtual void layer_ends(std::int64_t /*layer*/, std::span<const float> /*x*/, const KvCache& /*cache*/) noexcept {}
};

}  // namespace kvcast
