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
  if (knots.empty()) return line(n);
  std::size_t above = 0;
  while (above < knots.size() && knots[above].candidates <= n) ++above;
  if (above == 0 || above == knots.size()) {
    const Knot& edge = above == 0 ? knots.front() : knots.back();
    return edge.seconds * line(n) / line(edge.candidates);
  }
  const Knot &low = knots[above - 1], &high = knots[above];
  if (straight) {
    return low.seconds + (high.seconds - low.seconds) * (n - low.candidates) / (high.candidates - low.candidates);
  }
  return low.seconds * std::exp(std::log(high.seconds / low.seconds) * std::log(n / low.candidates) /
                                std::log(high.candidates / low.candidates));
}

double TimeCells::candidates(double t) const {
  if (knots.empty()) return (t - a) / b;
  std::size_t above = 0;
  while (above < knots.size() && knots[above].seconds <= t) ++above;
  if (above == 0 || above == knots.size()) {
    const Knot& edge = above == 0 ? knots.front() : knots.back();
    return (t / edge.seconds * (a + b * edge.candidates) - a) / b;
  }
  const Knot &low = knots[above - 1], &high = knots[above];
  if (straight) {
    return low.candidates + (t - low.seconds) / (high.seconds - low.seconds) * (high.candidates - low.candidates);
  }
  return low.candidates * std::exp(std::log(t / low.seconds) / std::log(high.seconds / low.seconds) *
                                   std::log(high.candidates / low.candidates));
}

std::string TimeCells::seconds(const std::string& n) const {
  if (knots.empty()) return "size_a+size_b*" + n;
  std::vector<std::string> ends, stretches;
  const auto edge = [&](const Knot& knot) {
    return knot.cell + "*(size_a+size_b*" + n + ")/(size_a+size_b*" + format_double(knot.candidates) + ")";
  };
  stretches.push_back(edge(knots.front()));
  for (std::size_t i = 1; i < knots.size(); ++i) {
    const Knot &low = knots[i - 1], &high = knots[i];
    const std::string from = format_double(low.candidates), to = format_double(high.candidates);
    stretches.push_back(straight ? low.cell + "+(" + high.cell + "-" + low.cell + ")*(" + n + "-" + from + ")/(" + to +
                                       "-" + from + ")"
                                 : low.cell + "*EXP(LN(" + high.cell + "/" + low.cell + ")*LN(" + n + "/" + from +
                                       ")/LN(" + to + "/" + from + "))");
  }
  stretches.push_back(edge(knots.back()));
  for (const Knot& knot : knots) ends.push_back(format_double(knot.candidates));
  return chosen(n, ends, stretches);
}

std::string TimeCells::candidates(const std::string& t) const {
  if (knots.empty()) return "(" + t + "-size_a)/size_b";
  std::vector<std::string> ends, stretches;
  const auto edge = [&](const Knot& knot) {
    return "(" + t + "/" + knot.cell + "*(size_a+size_b*" + format_double(knot.candidates) + ")-size_a)/size_b";
  };
  stretches.push_back(edge(knots.front()));
  for (std::size_t i = 1; i < knots.size(); ++i) {
    const Knot &low = knots[i - 1], &high = knots[i];
    const std::string from = format_double(low.candidates), to = format_double(high.candidates);
    stretches.push_back(straight ? from + "+(" + t + "-" + low.cell + ")/(" + high.cell + "-" + low.cell + ")*(" + to +
                                       "-" + from + ")"
                                 : from + "*EXP(LN(" + t + "/" + low.cell + ")/LN(" + high.cell + "/" + low.cell +
                                       ")*LN(" + to + "/" + from + "))");
  }
  stretches.push_back(edge(knots.back()));
  for (const Knot& knot : knots) ends.push_back(knot.cell);
  return chosen(t, ends, stretches);
}

}  // namespace kvcast::report
