#include "analysis/ranking.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <numeric>
#include <utility>
#include <vector>

namespace kvcast::analysis {
namespace {

/// Indices of the `count` best scores, ascending by index.
std::vector<std::size_t> best_indices(std::span<const double> scores, std::size_t count) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto better = [&](std::size_t i, std::size_t j) {
    // A bare `>` is no strict weak order once a NaN is among the scores.
    const bool i_nan = std::isnan(scores[i]), j_nan = std::isnan(scores[j]);
    if (i_nan != j_nan) return j_nan;
    if (!i_nan && scores[i] != scores[j]) return scores[i] > scores[j];
    return i < j;
  };
  std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count - 1), order.end(), better);
  order.resize(count);
  std::sort(order.begin(), order.end());
  return order;
}

double pairs_of(std::int64_t count) { return static_cast<double>(count) * static_cast<double>(count - 1) / 2; }

/// Pairs within runs of equal neighbours of a sorted range.
template <typename Iterator, typename Equal>
double tied_pairs(Iterator begin, Iterator end, const Equal& equal) {
  double pairs = 0;
  while (begin != end) {
    const Iterator run_end = std::find_if_not(begin, end, [&](const auto& item) { return equal(*begin, item); });
    pairs += pairs_of(run_end - begin);
    begin = run_end;
  }
  return pairs;
}

/// Sorts `values` and returns how many pairs stood in the wrong order (a merge sort that counts).
double sort_counting_inversions(std::vector<double>& values) {
  std::vector<double> merged(values.size());
  double inversions = 0;
  for (std::size_t width = 1; width < values.size(); width *= 2) {
    for (std::size_t begin = 0; begin < values.size(); begin += 2 * width) {
      const std::size_t middle = std::min(begin + width, values.size());
      const std::size_t end = std::min(begin + 2 * width, values.size());
      std::size_t left = begin, right = middle, out = begin;
      while (left < middle && right < end) {
        if (values[right] < values[left]) {
          inversions += static_cast<double>(middle - left);
          merged[out++] = values[right++];
        } else {
          merged[out++] = values[left++];
        }
      }
      while (left < middle) merged[out++] = values[left++];
      while (right < end) merged[out++] = values[right++];
    }
    values.swap(merged);
  }
  return inversions;
}

}  // namespace

std::optional<double> top_k_overlap(std::span<const double> scores_a, std::span<const double> scores_b,
                                    std::int64_t k) {
  assert(scores_a.size() == scores_b.size());
  if (k <= 0 || scores_a.empty()) return std::nullopt;
  const std::size_t count = std::min(static_cast<std::size_t>(k), scores_a.size());
  const std::vector<std::size_t> a = best_indices(scores_a, count), b = best_indices(scores_b, count);
  std::vector<std::size_t> common;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(common));
  return static_cast<double>(common.size()) / static_cast<double>(count);
}

std::optional<double> kendall_tau(std::span<const double> scores_a, std::span<const double> scores_b) {
  assert(scores_a.size() == scores_b.size());
  const auto is_nan = [](double score) { return std::isnan(score); };
  if (std::any_of(scores_a.begin(), scores_a.end(), is_nan) || std::any_of(scores_b.begin(), scores_b.end(), is_nan)) {
    return std::nullopt;
  }
  std::vector<std::pair<double, double>> both;
  both.reserve(scores_a.size());
  for (std::size_t i = 0; i < scores_a.size(); ++i) both.emplace_back(scores_a[i], scores_b[i]);
  std::sort(both.begin(), both.end());

  std::vector<double> b;
  b.reserve(both.size());
  for (const auto& pair : both) b.push_back(pair.second);
  // Within equal a the b ascend, so those pairs are not counted as inversions.
  const double discordant = sort_counting_inversions(b);

  const double all = pairs_of(static_cast<std::int64_t>(both.size()));
  const double tied_a = tied_pairs(both.begin(), both.end(), [](auto& x, auto& y) { return x.first == y.first; });
  const double tied_both = tied_pairs(both.begin(), both.end(), [](auto& x, auto& y) { return x == y; });
  const double tied_b = tied_pairs(b.begin(), b.end(), [](double x, double y) { return x == y; });
  if (all - tied_a <= 0 || all - tied_b <= 0) return std::nullopt;
  const double concordant_minus_discordant = all - tied_a - tied_b + tied_both - 2 * discordant;
  // The root of the product, not the product of roots: equal rankings then give exactly 1.
  return concordant_minus_discordant / std::sqrt((all - tied_a) * (all - tied_b));
}

}  // namespace kvcast::analysis
