// What a reader must know about how a problem ran, whatever the command.
#pragma once

#include <vector>

#include "engine/problem.h"

namespace kvcast::app {

/// Environment variables that change what dense products run on.
std::vector<Warning> notes_on_environment();

/// Those, and bf16 without the instructions for it; what notes_on_import() says; tokens that an imported file did not
/// have.
std::vector<Warning> notes_on(const Problem& problem);

/// What was assumed of an imported model, and tensors of the file that nothing reads.
std::vector<Warning> notes_on_import(const Config& config, const ImportedCase& imported);

/// "heads 4, mask causal": what was assumed, positions too; empty when nothing was.
std::string assumed_text(const Config& config);

}  // namespace kvcast::app
