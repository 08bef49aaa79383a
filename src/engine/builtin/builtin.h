// The engine of kvcast itself: real attention through all layers on the CPUs of this process.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/builtin/model/model.h"
#include "engine/builtin/schemes/scheme.h"
#include "engine/engine.h"

namespace kvcast {

/// What a scheme on this problem is given, for scoring passes up to `max_candidates`. `model`: of its weights.
SchemeContext scheme_context(const Problem& problem, const Model& model, const SchemeOptions& options,
                             std::int64_t max_candidates);

/// A session on weights that outlive it.
std::unique_ptr<Session> open_session(const Problem& problem, const Model& model);

/// The config's workers, which serve requests at the same time.
std::unique_ptr<Session> open_workers(const Problem& problem);

/// Requests of many users on the seeded model of a config.
std::unique_ptr<Service> make_service(const Config& config);

/// The one there is; without state of its own.
const Engine& builtin_engine();

}  // namespace kvcast
