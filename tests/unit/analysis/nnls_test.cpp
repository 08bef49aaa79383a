#include "analysis/nnls.h"

#include <cstdint>

#include "base/random.h"
#include "catch.h"

using kvcast::analysis::non_negative_least_squares;

namespace {

constexpr double kEps = 2.220446049250313e-16;

/// The conditions that single out the minimum of |Ax-b|² over x >= 0: no negative x, no slope along a positive one,
/// none downhill along a zero one. The slope is a sum of rows products, each off by a few roundings of |column|·|b|,
/// and the solution by as many times the condition of the columns in it, below 1e4 for the matrices here.
void check_minimum(const Eigen::MatrixXd& matrix, const Eigen::VectorXd& target, const Eigen::VectorXd& found) {
  const Eigen::VectorXd slope = matrix.transpose() * (matrix * found - target);
  for (Eigen::Index c = 0; c < matrix.cols(); ++c) {
    const double rounding = 1e4 * static_cast<double>(matrix.rows() + matrix.cols()) * kEps *
                            (matrix.col(c).norm() * target.norm() + 1e-300);
    CAPTURE(c, found(c), slope(c), rounding);
    CHECK(found(c) >= 0);
    CHECK(slope(c) >= -rounding);
    if (found(c) > 0) CHECK(slope(c) <= rounding);
  }
}

}  // namespace

TEST_CASE("the non-negative minimum meets its conditions on random problems", "[analysis][nnls]") {
  std::int64_t with_zeros = 0, without = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const kvcast::RandomStream random(seed, 7);
    const auto columns = static_cast<Eigen::Index>(1 + random.bits(0) % 7);
    const auto rows = static_cast<Eigen::Index>(1 + random.bits(1) % 20);
    std::uint64_t next = 2;
    Eigen::MatrixXd matrix(rows, columns);
    Eigen::VectorXd target(rows);
    for (Eigen::Index r = 0; r < rows; ++r) {
      target(r) = double(random.unit(next++)) + 0.5;
      for (Eigen::Index c = 0; c < columns; ++c) matrix(r, c) = double(random.unit(next++));
    }
    // Units apart by many orders, a column twice, and one of nothing.
    matrix.col(columns - 1) *= 1e-12;
    if (seed % 3 == 0 && columns > 1) matrix.col(0) = 2 * matrix.col(columns - 1);
    if (seed % 5 == 0 && columns > 2) matrix.col(1).setZero();
    CAPTURE(seed, rows, columns);
    const Eigen::VectorXd found = non_negative_least_squares(matrix, target);
    REQUIRE(found.size() == columns);
    check_minimum(matrix, target, found);
    ((found.array() > 0).all() ? without : with_zeros) += 1;
  }
  // Both kinds were met.
  CHECK(with_zeros > 50);
  CHECK(without > 20);
}

TEST_CASE("of columns that fit alike the first is taken, and one that cannot help gets nothing", "[analysis][nnls]") {
  Eigen::MatrixXd matrix(3, 3);
  matrix << 1, 2, -1, 2, 4, -2, 3, 6, -1;
  const Eigen::VectorXd found = non_negative_least_squares(matrix, Eigen::Vector3d(2, 4, 6));
  CHECK(found(0) == Approx(2).epsilon(1e-14));
  CHECK(found(1) == 0);
  CHECK(found(2) == 0);
  CHECK(non_negative_least_squares(matrix.col(2), Eigen::Vector3d(1, 1, 1)).isZero(0));
}
