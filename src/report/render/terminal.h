// A document for a terminal.
#pragma once

#include <string>

#include "report/document.h"

namespace kvcast::report {

/// What a reader asked to see.
struct Look {
  bool colour = false;   ///< ANSI colours; no column moves
  bool details = false;  ///< every section, in 100 columns; else those that answer, in 80
};

/// The answer first, and once more at the end where the rest is longer than a screen. Without details at most two
/// notices, the worst, and a line that names what is left out. Text from outside stays on its line.
std::string render_terminal(const Document& document, const Look& look);

}  // namespace kvcast::report
