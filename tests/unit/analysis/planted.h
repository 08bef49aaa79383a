// Timings with a planted law and planted noise, for the tests of fits.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "rows.h"

namespace kvcast::testing {

inline Sample row(const std::string& scheme, std::int64_t candidates, std::int64_t round, double seconds) {
  return row(scheme, candidates, round, Status::measured, seconds);
}

/// Standard normal numbers, the same on every platform.
class Normal {
 public:
  explicit Normal(std::uint64_t seed) : random_(seed, 3) {}
  double operator()() {
    const double u = uniform(), v = uniform();
    return std::sqrt(-2 * std::log(u)) * std::cos(2 * 3.14159265358979323846 * v);
  }
  /// In (0, 1).
  double uniform() { return (static_cast<double>(random_.bits(next_++) >> 11) + 0.5) * 0x1p-53; }

 private:
  kvcast::RandomStream random_;
  std::uint64_t next_ = 0;
};

/// Standard deviations of logs.
struct Noise {
  double machine = 0;    ///< of a round, common to both schemes
  double round = 0;      ///< of a round, of the scheme alone (its prefill serves every N)
  double point = 0;      ///< of every timing
  double between = 0;    ///< of a run over a round, of `round` and `point` alike: a share of their variance
  double outliers = 0;   ///< share of timings that take three times as long
  double drift = 0;      ///< of the scheme at all N, from the middle of the run to its end, with the sign of a coin
  bool repeats = false;  ///< every N is a repeat of its own: nothing in common, a round number each
};

/// Rounds of naive at `naive_s` seconds a candidate and "shared" at shared_s(N), with multiplicative noise.
inline std::vector<Sample> make_samples(const std::vector<std::int64_t>& candidates, std::int64_t rounds,
                                        double naive_s, const std::function<double(double)>& shared_s,
                                        const Noise& noise = {}, std::uint64_t seed = 1) {
  Normal normal(seed);
  const double of_run = std::sqrt(noise.between);
  const double run_scheme = of_run * noise.round * normal();
  std::vector<double> run_naive_point, run_scheme_point;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    run_naive_point.push_back(of_run * noise.point * normal());
    run_scheme_point.push_back(of_run * noise.point * normal());
  }
  const double slope = noise.drift * (normal.uniform() < 0.5 ? -1 : 1);
  const auto outlier = [&] { return normal.uniform() < noise.outliers ? 3.0 : 1.0; };
  std::vector<Sample> samples;
  for (std::int64_t round = 0; round < rounds; ++round) {
    double machine = noise.machine * normal(), scheme = noise.round * normal();
    const double drift = rounds < 2 ? 0 : slope * (2 * double(round) / double(rounds - 1) - 1);
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      const auto n = static_cast<double>(candidates[i]);
      const std::int64_t number = noise.repeats ? static_cast<std::int64_t>(samples.size() / 2) : round;
      if (noise.repeats) {
        machine = noise.machine * normal();
        scheme = noise.round * normal();
      }
      const double log_naive = machine + run_naive_point[i] + noise.point * normal();
      const double log_shared = machine + run_scheme + run_scheme_point[i] + drift + scheme + noise.point * normal();
      samples.push_back(row("naive", candidates[i], number, naive_s * n * std::exp(log_naive) * outlier()));
      samples.push_back(row("shared", candidates[i], number, shared_s(n) * std::exp(log_shared) * outlier()));
    }
  }
  return samples;
}

inline std::function<double(double)> one_parameter(double naive_s, double r) {
  return [=](double n) { return naive_s * (1 + (n - 1) * r); };
}

}  // namespace kvcast::testing
