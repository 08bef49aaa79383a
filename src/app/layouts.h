// The layouts that a report was measured in.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kvcast/report.h"

namespace kvcast::app {

/// Workers that serve requests at the same time, each on threads of its own. 0 threads: unknown.
struct Layout {
  std::int64_t workers = 1, threads = 0;
  auto operator<=>(const Layout&) const = default;
  /// "2 workers of 1 thread".
  std::string words() const;
};

Layout layout_of(const Case& one);
/// Distinct, ascending.
std::vector<Layout> layouts_of(const Report& report);
/// Of `workers`, where that was measured; else, and where nobody asks, of the fewest workers. Of several the one with
/// most threads.
Layout choose_layout(const Report& report, std::optional<std::int64_t> workers);
/// The cases of one layout, analysed anew where there are others: surfaces go over the shapes of one layout.
Report only(Report report, const Layout& layout);
/// Whether the times at hand hold for `workers`, in a sentence; empty for one worker that was measured alone.
std::string contention_note(const Layout& measured, std::int64_t workers);

}  // namespace kvcast::app
