// What a reader must know about how a problem ran, whatever the command.
#pragma once

#include <vector>

#include "engine/problem.h"

namespace kvcast::app {

/// Environment variables that change what dense products run on.
std::vector<Warning> notes_on_environment();

/// Those, notes_on_import(), bf16 without hardware for it, and tokens missing from an imported file.
std::vector<Warning> notes_on(const Problem& problem);

/// Assumptions about an imported model, and unused tensors of the file.
std::vector<Warning> notes_on_import(const Config& config, const ImportedCase& imported);

/// "heads 4, mask causal": the assumptions, positions included; empty without any.
std::string assumed_text(const Config& config);

}  // namespace kvcast::app
