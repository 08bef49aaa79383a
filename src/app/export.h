// The exported case of docs/model.md §1.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/problem.h"

namespace kvcast::app {

/// Writes config, weights, tokens, and outputs of `n` candidates by every scheme and, if asked for, by the float64
/// reference, which runs at the full shape, whatever it takes. Errors: IoError.
void export_case(const Problem& problem, const std::vector<NamedScheme>& schemes, std::int64_t n, bool reference,
                 const std::string& path);

}  // namespace kvcast::app
