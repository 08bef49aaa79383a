// The time of a request over N as cells of a workbook: inputs, and formulas through them both ways.
#pragma once

#include <string>
#include <vector>

namespace kvcast::report {

/// Through what was measured, between two N a straight line in N or, not `straight`, one of the logs; beyond them
/// size_a + size_b N, scaled to meet the outermost; that line alone where nothing was measured. size_b > 0.
struct TimeCells {
  struct Breakpoint {
    double candidates = 0, seconds = 0;
    std::string cell;  ///< where the seconds stand
  };
  double a = 0, b = 0;
  std::vector<Breakpoint> breakpoints;  ///< ascending in both
  bool straight = true;

  /// Seconds at N, and as a formula of the cell or name `n`.
  double seconds(double n) const;
  std::string seconds(const std::string& n) const;
  /// The N, not rounded, that takes so many seconds, and as a formula of `t`.
  double candidates(double t) const;
  std::string candidates(const std::string& t) const;
};

}  // namespace kvcast::report
