// Least squares with coefficients that may not be negative.
#pragma once

#include <Eigen/Core>

namespace kvcast::analysis {

/// Columns that non_negative_least_squares takes: 2^columns supports are tried.
inline constexpr Eigen::Index kMaxNonNegativeColumns = 10;

/// The x >= 0 that minimises |matrix·x - target|². Shapes: matrix [m][k], target [m], result [k]; m >= 1,
/// k <= kMaxNonNegativeColumns. All numbers finite.
///
/// Exact by trial: the minimum is the unconstrained one of some set of columns, so every set is solved by QR and the
/// best whose solution is positive is taken. Lawson and Hanson's active sets reach the same point with fewer solves,
/// but choose by the signs of gradients that rounding decides when columns are nearly alike, and need a guard against
/// cycling; at a handful of columns trying all sets is cheap (one QR brings the problem down to k rows first) and has
/// no such case. Of sets that fit equally well the smallest, then the one of earlier columns, is taken; columns that
/// depend on others in the set rule the set out, because a smaller one fits as well. Source: Lawson and Hanson,
/// "Solving Least Squares Problems" (1974), ch. 23.
Eigen::VectorXd non_negative_least_squares(const Eigen::MatrixXd& matrix, const Eigen::VectorXd& target);

}  // namespace kvcast::analysis
