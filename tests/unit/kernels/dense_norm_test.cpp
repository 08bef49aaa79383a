#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/buffer.h"
#include "base/random.h"
#include "catch.h"
#include "kernels/dense.h"
#include "kernels/machine.h"
#include "kernels/norm.h"

using namespace kvcast;
using namespace kvcast::kernels;

namespace {

constexpr double kEps = std::numeric_limits<float>::epsilon();

Buffer<float> random(std::int64_t n, std::uint64_t stream) {
  Buffer<float> values(n);
  const RandomStream source(11, stream);
  for (std::int64_t i = 0; i < n; ++i) values[i] = source.unit(static_cast<std::uint64_t>(i));
  return values;
}

}  // namespace

TEST_CASE("dense products with every epilogue equal float64 within eps*n*sum|xw|", "[kernels][dense]") {
  for (const auto& [in, out] :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {7, 5}, {64, 192}, {65, 63}}) {
    const Buffer<float> w = random(in * out, 1), b = random(out, 2);
    const DenseWeights weights(in, out, w.data(), b.data());
    DenseRunner runner(1);
    for (const std::int64_t rows : {1, 7, 63, 65}) {
      for (const Epilogue epilogue : {Epilogue::none, Epilogue::gelu, Epilogue::add}) {
        const Buffer<float> x = random(rows * in, 3), before = random(rows * out, 4);
        Buffer<float> y(rows * out);
        std::copy_n(before.data(), before.size(), y.data());
        runner.prepare(weights, rows, epilogue);
        runner.run(weights, x.data(), rows, epilogue, y.data());
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t o = 0; o < out; ++o) {
            double exact = b[o], magnitude = std::abs(static_cast<double>(b[o]));
            for (std::int64_t i = 0; i < in; ++i) {
              exact += static_cast<double>(x[r * in + i]) * w[o * in + i];
              magnitude += std::abs(static_cast<double>(x[r * in + i]) * w[o * in + i]);
            }
            if (epilogue == Epilogue::gelu) exact = 0.5 * exact * (1 + std::erf(exact / std::sqrt(2.0)));
            if (epilogue == Epilogue::add) {
              exact += before[r * out + o];
              magnitude += std::abs(static_cast<double>(before[r * out + o]));
            }
            // The library's erf is good to a few eps of its own; gelu's slope is at most 1.13.
            const double bound = kEps * (static_cast<double>(in) + 8) * magnitude * 1.2;
            if (!(std::abs(y[r * out + o] - exact) <= bound)) {
              CAPTURE(in, out, rows, static_cast<int>(epilogue), r, o);
              REQUIRE(std::abs(y[r * out + o] - exact) <= bound);
            }
          }
        }
        SUCCEED();
      }
    }
  }
}

TEST_CASE("a row of a dense product does not depend on the rows beside it", "[kernels][dense]") {
  const std::int64_t in = 96, out = 80;
  const Buffer<float> w = random(in * out, 1), b = random(out, 2), x = random(300 * in, 3);
  const DenseWeights weights(in, out, w.data(), b.data());
  DenseRunner runner(1);
  Buffer<float> all(300 * out);
  runner.prepare(weights, 300, Epilogue::gelu);
  runner.run(weights, x.data(), 300, Epilogue::gelu, all.data());
  CHECK(std::string(runner.implementation(weights, 300, Epilogue::gelu)).find("ref") == std::string::npos);
  for (const std::int64_t rows : {1, 5, 33, 100}) {
    Buffer<float> some(rows * out);
    runner.prepare(weights, rows, Epilogue::gelu);
    // The one packed copy must suit every row count: a plain loop behind it would be a silent 50x.
    CHECK(std::string(runner.implementation(weights, rows, Epilogue::gelu)).find("ref") == std::string::npos);
    runner.run(weights, x.data() + 20 * in, rows, Epilogue::gelu, some.data());
    CHECK(std::equal(some.data(), some.data() + some.size(), all.data() + 20 * out));
  }
}

TEST_CASE("dense products run on any number of threads with the same bits", "[kernels][dense]") {
  const std::int64_t in = 128, out = 256, rows = 130;
  const Buffer<float> w = random(in * out, 1), b = random(out, 2), x = random(rows * in, 3);
  const DenseWeights weights(in, out, w.data(), b.data());
  std::vector<Buffer<float>> results;
  for (const int threads : {1, 2, 3}) {
    DenseRunner runner(threads);
    Buffer<float>& y = results.emplace_back(rows * out);
    runner.prepare(weights, rows, Epilogue::none);
    runner.run(weights, x.data(), rows, Epilogue::none, y.data());
    CHECK(std::equal(y.data(), y.data() + y.size(), results.front().data()));
  }
}

TEST_CASE("layer norm equals float64 and keeps precision around a large mean", "[kernels][norm]") {
  for (const std::int64_t dim : {1, 7, 63, 64, 65, 768}) {
    for (const double mean : {0.0, 100.0}) {
      const std::int64_t rows = 5;
      Buffer<float> x = random(rows * dim, 1);
      const Buffer<float> w = random(dim, 2), b = random(dim, 3);
      for (std::int64_t i = 0; i < x.size(); ++i) x[i] += static_cast<float>(mean);
      Buffer<float> y(rows * dim);
      layer_norm(x.data(), rows, dim, w.data(), b.data(), y.data());
      for (std::int64_t r = 0; r < rows; ++r) {
        double m = 0, v = 0;
        for (std::int64_t i = 0; i < dim; ++i) m += x[r * dim + i];
        m /= static_cast<double>(dim);
        for (std::int64_t i = 0; i < dim; ++i) v += (x[r * dim + i] - m) * (x[r * dim + i] - m);
        v /= static_cast<double>(dim);
        const double inverse = 1 / std::sqrt(v + 1e-5);
        for (std::int64_t i = 0; i < dim; ++i) {
          const double exact = (x[r * dim + i] - m) * inverse * w[i] + b[i];
          // The mean is wrong by eps*n*|mean| at most, which the scale then multiplies.
          const double bound = kEps * (static_cast<double>(dim) + 8) *
                               ((std::abs(mean) + 2) * inverse * std::abs(w[i]) + std::abs(b[i]));
          if (!(std::abs(y[r * dim + i] - exact) <= bound)) {
            CAPTURE(dim, mean, r, i);
            REQUIRE(std::abs(y[r * dim + i] - exact) <= bound);
          }
        }
      }
      SUCCEED();
    }
  }
}

TEST_CASE("the yardsticks do the work they claim", "[kernels][machine]") {
  CHECK(std::isfinite(fma_burst(1000)));
  CHECK(fma_burst_flops(2000) == 2 * fma_burst_flops(1000));
  CHECK(fma_burst_flops(1) >= 2 * 10);
  Buffer<float> ones(1024);
  std::fill_n(ones.data(), ones.size(), 1.0f);
  CHECK(read_all(ones.span()) == 1024.0f);
  CHECK(std::string(simd_target()).size() > 2);
  CHECK(std::string(dense_library_version()).find('.') != std::string::npos);
}
