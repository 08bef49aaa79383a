#include "traffic/saturation.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <utility>

#include "base/text.h"
#include "statistics/statistics.h"

namespace kvcast::traffic {
namespace {

/// Below it a line and its error say nothing.
constexpr std::size_t kMinWindows = 8;
constexpr double kStandardErrors = 3;

std::string number(double value) { return format_significant(value, 3); }

double offered(const Load& load, const LoadWindow& window) {
  return window.seconds > 0 ? static_cast<double>(window.arrivals) * window.service_s /
                                  (window.seconds * static_cast<double>(load.workers))
                            : 0;
}

/// Standard error of the mean load of the windows.
double offered_error(const Load& load) {
  std::vector<double> loads;
  for (const LoadWindow& window : load.windows) loads.push_back(offered(load, window));
  return *standard_error(std::move(loads));
}

/// Requests in the system that a window adds to the one before, when that is beyond chance.
std::optional<double> rise(const std::vector<LoadWindow>& windows) {
  const auto count = static_cast<double>(windows.size());
  const double middle = (count - 1) / 2;
  double mean = 0, xx = 0, xy = 0;
  for (const LoadWindow& window : windows) mean += window.in_system / count;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    const double x = static_cast<double>(i) - middle;
    xx += x * x;
    xy += x * (windows[i].in_system - mean);
  }
  const double slope = xy / xx;
  double squares = 0, products = 0, before = 0;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    const double residual = windows[i].in_system - mean - slope * (static_cast<double>(i) - middle);
    squares += residual * residual;
    if (i > 0) products += residual * before;
    before = residual;
  }
  const double correlation = squares > 0 ? std::max(0.0, products / squares) : 0;
  // At least what a line leaves two degrees of: then the factor is 22, and the line as good as straight.
  const double independent = std::max(4.0, count * (1 - correlation) / (1 + correlation));
  if (slope <= 0) return std::nullopt;
  const double error = std::sqrt(squares / (independent - 2) / xx * count / independent);
  if (slope <= student_t_factor(0.998, independent - 2) * error) return std::nullopt;
  return slope;
}

/// Load of the last quarter of the windows.
double last_load(const Load& load) {
  const std::size_t from = load.windows.size() - load.windows.size() / 4;
  double work = 0, seconds = 0;
  for (std::size_t i = from; i < load.windows.size(); ++i) {
    work += offered(load, load.windows[i]) * load.windows[i].seconds;
    seconds += load.windows[i].seconds;
  }
  return seconds > 0 ? work / seconds : 0;
}

}  // namespace

Saturation judge(const Load& load) {
  Saturation answer;
  if (load.seconds <= 0 || load.arrivals == 0) {
    answer.unclear = true;
    answer.text = "too few requests to tell whether the workers keep up";
    return answer;
  }
  const auto arrivals = static_cast<double>(load.arrivals);
  answer.offered_load = arrivals * load.service_s / (load.seconds * static_cast<double>(load.workers));
  const bool enough = load.windows.size() >= kMinWindows;
  if (enough) answer.offered_error = offered_error(load);

  // The queue of a fleet that keeps up may still hold what its workers take in one go.
  const double left = static_cast<double>(load.waiting - load.waiting_first);
  const double balanced = std::max(kStandardErrors * std::sqrt(arrivals * (load.arrival_cv2 + load.service_cv2)),
                                   static_cast<double>(load.workers) * static_cast<double>(load.batch_max));
  std::vector<std::string> signs;
  if (load.stopped) signs.push_back("stopped with " + std::to_string(load.waiting) + " requests waiting");
  if (enough && answer.offered_load >= kFullLoad) {
    signs.push_back("requests bring " + number(100 * answer.offered_load) + "% of the workers' capacity");
  }
  if (left > balanced) {
    signs.push_back("completions fall behind: the last arrival leaves " + std::to_string(load.waiting) +
                    " requests waiting; workers that just keep up leave at most " + number(balanced));
  }
  if (enough && left > 0 && last_load(load) >= kFullLoad) {
    if (const std::optional<double> slope = rise(load.windows)) {
      signs.push_back("latency rises: each of " + std::to_string(load.windows.size()) + " windows has " +
                      number(*slope) + " more requests in the system than the one before");
    }
  }
  answer.stopped = load.stopped;
  answer.saturated = !signs.empty();
  answer.text = join(signs, "; ");
  if (answer.saturated) return answer;
  if (!enough) {
    answer.unclear = true;
    answer.text = "too few requests to tell whether the workers keep up";
  } else if (answer.offered_load + kStandardErrors * *answer.offered_error >= 1) {
    answer.unclear = answer.brief = true;
    answer.text = "too few requests to tell whether the workers keep up: they bring " +
                  number(100 * answer.offered_load) + "% of the workers' capacity, give or take " +
                  number(100 * kStandardErrors * *answer.offered_error) + "%";
  }
  return answer;
}

Saturation judge(const std::vector<Saturation>& replications) {
  if (replications.size() == 1) return replications.front();
  Saturation answer;
  const auto count = static_cast<double>(replications.size());
  std::size_t saturated = 0, unclear = 0, brief = 0;
  double variance = 0;
  bool known = true;
  const Saturation *first_saturated = nullptr, *first_unclear = nullptr;
  for (const Saturation& one : replications) {
    answer.offered_load += one.offered_load / count;
    if (one.offered_error) variance += *one.offered_error * *one.offered_error;
    known &= one.offered_error.has_value();
    answer.stopped |= one.stopped;
    if (one.saturated && saturated++ == 0) first_saturated = &one;
    if (one.unclear && unclear++ == 0) first_unclear = &one;
    brief += one.brief;
  }
  answer.brief = 2 * brief > replications.size();
  if (known) answer.offered_error = std::sqrt(variance) / count;
  answer.saturated =
      answer.stopped || 2 * saturated > replications.size() || (known && answer.offered_load >= kFullLoad);
  if (answer.saturated) {
    answer.text = first_saturated
                      ? first_saturated->text
                      : "requests bring " + number(100 * answer.offered_load) + "% of the workers' capacity";
    if (saturated > 0) {
      answer.text += " (" + std::to_string(saturated) + " of " + std::to_string(replications.size()) + " replications)";
    }
    return answer;
  }
  // Together they know the load better than each alone.
  answer.unclear = 2 * unclear > replications.size() &&
                   (!known || answer.offered_load + kStandardErrors * *answer.offered_error >= 1);
  if (answer.unclear) answer.text = first_unclear->text;
  return answer;
}

}  // namespace kvcast::traffic
