#include "app/layouts.h"

#include <set>

#include "app/analyse.h"

namespace kvcast::app {
namespace {

std::string counted(std::int64_t count, const char* noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

}  // namespace

std::string Layout::words() const { return counted(workers, "worker") + " of " + counted(threads, "thread"); }

Layout layout_of(const Case& one) { return one.shape ? Layout{one.shape->workers, one.shape->threads} : Layout{}; }

std::vector<Layout> layouts_of(const Report& report) {
  std::set<Layout> layouts;
  for (const Case& one : report.cases) layouts.insert(layout_of(one));
  return {layouts.begin(), layouts.end()};
}

Layout choose_layout(const Report& report, std::optional<std::int64_t> workers) {
  const std::vector<Layout> all = layouts_of(report);
  if (all.empty()) return {};
  Layout chosen = all.front();
  for (const Layout& one : all) {
    if (one.workers == chosen.workers || one.workers == workers) chosen = one;
  }
  return chosen;
}

Report only(Report report, const Layout& layout) {
  if (std::erase_if(report.cases, [&](const Case& one) { return layout_of(one) != layout; }) > 0) analyse(report, {});
  return report;
}

std::string contention_note(const Layout& measured, std::int64_t workers) {
  if (measured.workers == 1 && workers == 1) return "";
  if (measured.workers == 1) {
    return "no contention assumed: times were measured with one worker alone; kvcast run --workers " +
           std::to_string(workers) + " measures it";
  }
  const std::string beside = "times are those of " + measured.words() + " in parallel";
  if (measured.workers == workers) return "contention measured: " + beside;
  return "contention assumed as in the measured layout: " + beside;
}

}  // namespace kvcast::app
