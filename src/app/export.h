// The exported case of docs/model.md §1.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "equality/equality.h"

namespace kvcast::app {

/// What is written beside config, weights and tokens.
struct ExportOptions {
  std::int64_t candidates = 1;
  /// Outputs by the float64 reference too, which runs every candidate whole at the full shape, whatever it takes:
  /// reference_flops() each.
  bool reference = true;
  std::function<bool()> stop_requested = {};  ///< polled all along; nothing is written then
};

/// Writes config, weights, tokens, and outputs of the first candidates by every scheme. The same config gives the same
/// bytes: of it, the file has what the case is, not how long to measure it or on what memory. False when stopped.
/// Errors: IoError.
bool export_case(const equality::Opened& opened, const std::vector<equality::Judged>& schemes,
                 const ExportOptions& options, const std::string& path);

}  // namespace kvcast::app
