// Environment variables of the libraries below us that would change what is computed, timed or printed.
#pragma once

#include <string>

namespace kvcast::cli {

/// First of all in main(): puts back what was lent before the libraries started, and takes away what is left where
/// nothing could be done then.
void settle_environment();

/// "OMP_PLACES, DNNL_VERBOSE": the variables that were set and have no effect; empty without any.
std::string ignored_variables();

}  // namespace kvcast::cli
