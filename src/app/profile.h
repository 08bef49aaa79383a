// Where the time of a scheme's passes goes.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/builtin/schemes/scheme.h"
#include "engine/engine.h"
#include "kvcast/report.h"

namespace kvcast::app {

/// Profiles of one scheme: its prefill, and its scoring pass at the smallest and the largest of `counts`, which
/// it must be prepared for. scoring: candidates and room for their outputs. About 0.2 s each, or one pass where that
/// takes longer. stop_requested ends it early.
std::vector<Profile> profile_scheme(Session& session, const TimingId& id, const SchemeEntry& entry,
                                    std::span<const std::int64_t> counts, int threads, Scoring scoring,
                                    const std::function<bool()>& stop_requested);

}  // namespace kvcast::app
