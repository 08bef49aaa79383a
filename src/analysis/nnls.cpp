#include "analysis/nnls.h"

#include <Eigen/QR>
#include <algorithm>
#include <bit>
#include <cassert>
#include <vector>

namespace kvcast::analysis {
namespace {

/// Sums of squares closer than this are told apart by rounding alone: some dozen of it of the sum itself, and of the
/// target where the sum is nothing else.
constexpr double kEqual = 1e-14, kNothing = kEqual * kEqual;

/// Sets of columns as bit masks, the smallest first, then those of earlier columns.
std::vector<unsigned> supports(Eigen::Index columns) {
  std::vector<unsigned> masks;
  for (unsigned mask = 1; mask < 1U << columns; ++mask) masks.push_back(mask);
  std::stable_sort(masks.begin(), masks.end(),
                   [](unsigned a, unsigned b) { return std::popcount(a) < std::popcount(b); });
  return masks;
}

}  // namespace

Eigen::VectorXd non_negative_least_squares(const Eigen::MatrixXd& matrix, const Eigen::VectorXd& target) {
  const Eigen::Index rows = matrix.rows(), columns = matrix.cols();
  assert(rows >= 1 && columns <= kMaxNonNegativeColumns && target.size() == rows);
  // Columns of length 1: a term in FLOPs and one in passes differ by ten orders of magnitude.
  Eigen::VectorXd length(columns);
  for (Eigen::Index c = 0; c < columns; ++c) length(c) = matrix.col(c).norm() > 0 ? matrix.col(c).norm() : 1;
  Eigen::MatrixXd reduced = matrix * length.cwiseInverse().asDiagonal();
  Eigen::VectorXd goal = target;
  if (rows > columns) {
    // |Ax-b|² = |Rx-Qᵀb|² + a constant, and R has k rows.
    const Eigen::HouseholderQR<Eigen::MatrixXd> qr(reduced);
    goal = (qr.householderQ().transpose() * target).head(columns).eval();
    reduced = qr.matrixQR().topRows(columns).triangularView<Eigen::Upper>();
  }

  Eigen::VectorXd best = Eigen::VectorXd::Zero(columns);
  const double whole = goal.squaredNorm();
  double least = whole;
  for (const unsigned mask : supports(columns)) {
    std::vector<Eigen::Index> chosen;
    for (Eigen::Index c = 0; c < columns; ++c) {
      if ((mask >> c & 1U) != 0) chosen.push_back(c);
    }
    const Eigen::MatrixXd part = reduced(Eigen::all, chosen);
    const Eigen::ColPivHouseholderQR<Eigen::MatrixXd> qr(part);
    if (qr.rank() < part.cols()) continue;
    const Eigen::VectorXd solution = qr.solve(goal);
    if (!(solution.minCoeff() > 0)) continue;
    const double squares = (part * solution - goal).squaredNorm();
    if (squares < least - kEqual * least - kNothing * whole) {
      least = squares;
      best.setZero();
      best(chosen) = solution;
    }
  }
  return best.cwiseQuotient(length);
}

}  // namespace kvcast::analysis
