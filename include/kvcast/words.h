// Sentences that more than one command says.
#pragma once

#include <string>

#include "kvcast/report.h"

namespace kvcast {

/// Which schemes are off, by how much, and what is allowed; empty when all agree.
std::string disagreement(const Equivalence& equivalence);

}  // namespace kvcast
