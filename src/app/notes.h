// What a reader must know about how a problem ran, whatever the command.
#pragma once

#include <vector>

#include "app/problem.h"

namespace kvcast::app {

/// Environment variables that change what dense products run on.
std::vector<Warning> notes_on_environment();

/// Those, and bf16 without the instructions for it; tokens that an imported file did not have.
std::vector<Warning> notes_on(const Problem& problem);

}  // namespace kvcast::app
