#include "traffic/find.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "base/budget.h"

namespace kvcast::traffic {
namespace {

struct Asked {
  double value = 0;
  bool meets = false;
  std::optional<Estimate> p99_s;
};

}  // namespace

TrafficFind find_limit(const Search& search, double limit_s, const std::function<Probe(double value)>& probe) {
  assert(search.least <= search.most && search.step >= 0 && (search.step > 0 || search.tolerance > 0));
  const auto ask = [&](double value) {
    const Probe answer = probe(value);
    return Asked{value, answer.p99_s && within_budget(answer.p99_s->value, limit_s), answer.p99_s};
  };
  const auto on_grid = [&](double value) {
    if (search.step > 0) value = std::round(value / search.step) * search.step;
    return std::clamp(value, search.least, search.most);
  };
  const double easiest = search.largest ? search.least : search.most;
  const double hardest = search.largest ? search.most : search.least;
  // From a value to one twice as far, at least a step on; to the bound when halving has come near it.
  const auto beyond = [&](double value, double bound) {
    if (bound > value) return std::min(bound, on_grid(std::max(2 * value, value + search.step)));
    const double half = on_grid(value / 2);
    return half < value && half > std::max(search.step, 1e-9 * std::abs(search.start)) ? half : bound;
  };

  std::optional<Asked> good, bad;
  const auto note = [&](const Asked& asked) { (asked.meets ? good : bad) = asked; };
  note(ask(on_grid(search.start)));
  while (!bad && good->value != hardest) note(ask(beyond(good->value, hardest)));
  while (!good && bad->value != easiest) note(ask(beyond(bad->value, easiest)));

  while (good && bad) {
    const double low = std::min(good->value, bad->value), high = std::max(good->value, bad->value);
    if (high - low <= std::max(search.step, search.tolerance * high)) break;
    // By ratio where there is one: a rate is known to a share of itself.
    const double middle = on_grid(low > 0 && search.tolerance > 0 ? std::sqrt(low * high) : low + (high - low) / 2);
    if (middle <= low || middle >= high) break;
    note(ask(middle));
  }

  TrafficFind find{search.what, search.unit, std::nullopt, std::nullopt, std::nullopt};
  if (good) find.value = good->value;
  if (bad) find.fails_at = bad->value;
  find.p99_s = good ? good->p99_s : bad->p99_s;
  return find;
}

}  // namespace kvcast::traffic
