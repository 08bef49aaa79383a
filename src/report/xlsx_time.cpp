#include "report/xlsx_time.h"

#include <cmath>
#include <cstddef>

#include "base/text.h"

namespace kvcast::report {
namespace {

/// Formulas of the stretches, chosen by where `x` lies among `ends`: below the first, between two, from the last on.
std::string chosen(const std::string& x, const std::vector<std::string>& ends,
                   const std::vector<std::string>& stretches) {
  std::string text = stretches.back();
  for (std::size_t i = ends.size(); i-- > 0;) text = "IF(" + x + "<" + ends[i] + "," + stretches[i] + "," + text + ")";
  return text;
}

}  // namespace

double TimeCells::seconds(double n) const {
  const auto line = [&](double at) { return a + b * at; };
  if (breakpoints.empty()) return line(n);
  std::size_t above = 0;
  while (above < breakpoints.size() && breakpoints[above].candidates <= n) ++above;
  if (above == 0 || above == breakpoints.size()) {
    const Breakpoint& edge = above == 0 ? breakpoints.front() : breakpoints.back();
    return edge.seconds * line(n) / line(edge.candidates);
  }
  const Breakpoint &low = breakpoints[above - 1], &high = breakpoints[above];
  if (straight) {
    return low.seconds + (high.seconds - low.seconds) * (n - low.candidates) / (high.candidates - low.candidates);
  }
  return low.seconds * std::exp(std::log(high.seconds / low.seconds) * std::log(n / low.candidates) /
                                std::log(high.candidates / low.candidates));
}

double TimeCells::candidates(double t) const {
  if (breakpoints.empty()) return (t - a) / b;
  std::size_t above = 0;
  while (above < breakpoints.size() && breakpoints[above].seconds <= t) ++above;
  if (above == 0 || above == breakpoints.size()) {
    const Breakpoint& edge = above == 0 ? breakpoints.front() : breakpoints.back();
    return (t / edge.seconds * (a + b * edge.candidates) - a) / b;
  }
  const Breakpoint &low = breakpoints[above - 1], &high = breakpoints[above];
  if (straight) {
    return low.candidates + (t - low.seconds) / (high.seconds - low.seconds) * (high.candidates - low.candidates);
  }
  return low.candidates * std::exp(std::log(t / low.seconds) / std::log(high.seconds / low.seconds) *
                                   std::log(high.candidates / low.candidates));
}

std::string TimeCells::seconds(const std::string& n) const {
  if (breakpoints.empty()) return "size_a+size_b*" + n;
  std::vector<std::string> ends, stretches;
  const auto edge = [&](const Breakpoint& breakpoint) {
    return breakpoint.cell + "*(size_a+size_b*" + n + ")/(size_a+size_b*" + format_double(breakpoint.candidates) + ")";
  };
  stretches.push_back(edge(breakpoints.front()));
  for (std::size_t i = 1; i < breakpoints.size(); ++i) {
    const Breakpoint &low = breakpoints[i - 1], &high = breakpoints[i];
    const std::string from = format_double(low.candidates), to = format_double(high.candidates);
    stretches.push_back(straight ? low.cell + "+(" + high.cell + "-" + low.cell + ")*(" + n + "-" + from + ")/(" + to +
                                       "-" + from + ")"
                                 : low.cell + "*EXP(LN(" + high.cell + "/" + low.cell + ")*LN(" + n + "/" + from +
                                       ")/LN(" + to + "/" + from + "))");
  }
  stretches.push_back(edge(breakpoints.back()));
  for (const Breakpoint& breakpoint : breakpoints) ends.push_back(format_double(breakpoint.candidates));
  return chosen(n, ends, stretches);
}

std::string TimeCells::candidates(const std::string& t) const {
  if (breakpoints.empty()) return "(" + t + "-size_a)/size_b";
  std::vector<std::string> ends, stretches;
  const auto edge = [&](const Breakpoint& breakpoint) {
    return "(" + t + "/" + breakpoint.cell + "*(size_a+size_b*" + format_double(breakpoint.candidates) +
           ")-size_a)/size_b";
  };
  stretches.push_back(edge(breakpoints.front()));
  for (std::size_t i = 1; i < breakpoints.size(); ++i) {
    const Breakpoint &low = breakpoints[i - 1], &high = breakpoints[i];
    const std::string from = format_double(low.candidates), to = format_double(high.candidates);
    stretches.push_back(straight ? from + "+(" + t + "-" + low.cell + ")/(" + high.cell + "-" + low.cell + ")*(" + to +
                                       "-" + from + ")"
                                 : from + "*EXP(LN(" + t + "/" + low.cell + ")/LN(" + high.cell + "/" + low.cell +
                                       ")*LN(" + to + "/" + from + "))");
  }
  stretches.push_back(edge(breakpoints.back()));
  for (const Breakpoint& breakpoint : breakpoints) ends.push_back(breakpoint.cell);
  return chosen(t, ends, stretches);
}

}  // namespace kvcast::report
