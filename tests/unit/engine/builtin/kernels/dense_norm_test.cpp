#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/random.h"
#include "catch.h"
#include "engine/builtin/kernels/dense.h"
#include "engine/builtin/kernels/element.h"
#include "engine/builtin/kernels/machine.h"
#include "engine/builtin/kernels/norm.h"

using namespace kvcast;
using namespace kvcast::kernels;

namespace {

constexpr double kEps = std::numeric_limits<float>::epsilon();
constexpr double kBf16Eps = 1.0 / 256;  // half a unit of 8 significant bits

Buffer<float> random(std::int64_t n, std::uint64_t stream) {
  Buffer<float> values(n);
  const RandomStream source(11, stream);
  for (std::int64_t i = 0; i < n; ++i) values[i] = source.unit(static_cast<std::uint64_t>(i));
  return values;
}

// What a product sees of values: themselves, or their bf16.
struct Rows {
  Rows(const Buffer<float>& from, Element element) : wide(from.size()), narrow_(from.size()) {
    for (std::int64_t i = 0; i < from.size(); ++i) {
      narrow_[i] = to_bf16(from[i]);
      wide[i] = element == Element::f32 ? from[i] : from_bf16(narrow_[i]);
    }
    data = element == Element::f32 ? static_cast<const void*>(wide.data()) : narrow_.data();
  }
  const void* at(std::int64_t i, Element element) const {
    return static_cast<const std::byte*>(data) + i * element_bytes(element);
  }

  Buffer<float> wide;
  const void* data;

 private:
  Buffer<Bf16> narrow_;
};

// Room for a result of either element, and its values as fp32.
struct Result {
  Result(std::int64_t n, Element of) : element(of), bytes(n * element_bytes(of)) {}
  float operator[](std::int64_t i) const {
    const std::byte* from = bytes.data() + i * element_bytes(element);
    if (element == Element::f32) return *reinterpret_cast<const float*>(from);
    return from_bf16(*reinterpret_cast<const Bf16*>(from));
  }
  // Bit for bit where the library has AVX-512. Below, its kernels sum in an order that follows the row count: then
  // both are within the bound of a product of `in` terms, each at most `largest`.
  bool equals(const Result& other, std::int64_t first, std::int64_t in, double largest) const {
    const std::byte* from = other.bytes.data() + first * element_bytes(element);
    if (dense_bf16_native()) return std::equal(bytes.data(), bytes.data() + bytes.size(), from);
    const auto n = static_cast<double>(in);
    for (std::int64_t i = 0; i < bytes.size() / element_bytes(element); ++i) {
      double bound = 2 * kEps * (n + 8) * (n + 1) * largest * 1.2;
      const double value = (*this)[i], expected = other[first + i];
      if (element == Element::bf16) bound += (std::abs(value) + std::abs(expected)) * kBf16Eps;
      if (!(std::abs(value - expected) <= bound)) return false;
    }
    return true;
  }

  Element element;
  Buffer<std::byte> bytes;
};

struct Types {
  Element x, out;
};
constexpr Types kTypes[] = {
    {Element::f32, Element::f32}, {Element::bf16, Element::f32}, {Element::bf16, Element::bf16}};

}  // namespace

TEST_CASE("dense products with every epilogue equal float64 within eps*n*sum|xw|", "[kernels][dense]") {
  for (const Types types : kTypes) {
    for (const auto& [in, out] :
         std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {7, 5}, {64, 192}, {65, 63}}) {
      const Buffer<float> w = random(in * out, 1), b = random(out, 2);
      const Rows rounded_w(w, types.x);
      const DenseWeights weights(in, out, w.data(), b.data(), types.x);
      CHECK(weights.element() == types.x);
      DenseRunner runner(1);
      for (const std::int64_t rows : {1, 7, 63, 65}) {
        for (const Epilogue epilogue : {Epilogue::none, Epilogue::add}) {
          if (epilogue == Epilogue::add && types.out == Element::bf16) continue;
          const Rows x(random(rows * in, 3), types.x);
          const Buffer<float> before = random(rows * out, 4);
          Result y(rows * out, types.out);
          if (types.out == Element::f32)
            std::memcpy(y.bytes.data(), before.data(), static_cast<std::size_t>(y.bytes.size()));
          runner.prepare(weights, rows, epilogue, types.out);
          runner.run(weights, x.data, rows, epilogue, y.bytes.data(), types.out);
          for (std::int64_t r = 0; r < rows; ++r) {
            for (std::int64_t o = 0; o < out; ++o) {
              double exact = b[o], magnitude = std::abs(static_cast<double>(b[o]));
              for (std::int64_t i = 0; i < in; ++i) {
                const double term = static_cast<double>(x.wide[r * in + i]) * rounded_w.wide[o * in + i];
                exact += term;
                magnitude += std::abs(term);
              }
              if (epilogue == Epilogue::add) {
                exact += before[r * out + o];
                magnitude += std::abs(static_cast<double>(before[r * out + o]));
              }
              double bound = kEps * (static_cast<double>(in) + 8) * magnitude;
              if (types.out == Element::bf16) bound += (std::abs(exact) + bound) * kBf16Eps;
              if (!(std::abs(y[r * out + o] - exact) <= bound)) {
                CAPTURE(in, out, rows, static_cast<int>(epilogue), static_cast<int>(types.x), r, o);
                REQUIRE(std::abs(y[r * out + o] - exact) <= bound);
              }
            }
          }
          SUCCEED();
        }
      }
    }
  }
}

TEST_CASE("a row of a dense product does not depend on the rows beside it", "[kernels][dense]") {
  for (const Types types : kTypes) {
    // The wide one is long enough for a library that splits the sum.
    for (const auto& [in, out] : std::vector<std::pair<std::int64_t, std::int64_t>>{{96, 80}, {65, 63}, {3072, 128}}) {
      CAPTURE(static_cast<int>(types.x), static_cast<int>(types.out), in, out);
      const Buffer<float> w = random(in * out, 1), b = random(out, 2);
      const Rows x(random(300 * in, 3), types.x);
      const DenseWeights weights(in, out, w.data(), b.data(), types.x);
      DenseRunner runner(1);
      Result all(300 * out, types.out);
      runner.prepare(weights, 300, Epilogue::none, types.out);
      runner.run(weights, x.data, 300, Epilogue::none, all.bytes.data(), types.out);
      for (const std::int64_t rows : {1, 2, 5, 33, 100, 257}) {
        CAPTURE(rows);
        Result some(rows * out, types.out);
        runner.prepare(weights, rows, Epilogue::none, types.out);
        runner.run(weights, x.at(20 * in, types.x), rows, Epilogue::none, some.bytes.data(), types.out);
        CHECK(some.equals(all, 20 * out, in, 3.1));  // unit() is below sqrt 3
      }
    }
  }
}

TEST_CASE("dense products run on any number of threads with the same bits", "[kernels][dense]") {
  const std::int64_t in = 128, out = 256, rows = 130;
  for (const Types types : kTypes) {
    const Buffer<float> w = random(in * out, 1), b = random(out, 2);
    const Rows x(random(rows * in, 3), types.x);
    const DenseWeights weights(in, out, w.data(), b.data(), types.x);
    std::vector<Result> results;
    for (const int threads : {1, 2, 3}) {
      DenseRunner runner(threads);
      Result& y = results.emplace_back(rows * out, types.out);
      runner.prepare(weights, rows, Epilogue::none, types.out);
      runner.run(weights, x.data, rows, Epilogue::none, y.bytes.data(), types.out);
      CHECK(y.equals(results.front(), 0, in, 3.1));
    }
  }
}

TEST_CASE("packed weights take the bytes that were announced", "[kernels][dense]") {
  for (const Element element : {Element::f32, Element::bf16}) {
    for (const auto& [in, out] : std::vector<std::pair<std::int64_t, std::int64_t>>{
             {1, 1}, {20, 48}, {33, 64}, {65, 63}, {100, 130}, {256, 768}}) {
      CAPTURE(in, out, static_cast<int>(element));
      const Buffer<float> w = random(in * out, 1), b = random(out, 2);
      const DenseWeights weights(in, out, w.data(), b.data(), element);
      const auto announced = static_cast<std::int64_t>(DenseWeights::packed_bytes(in, out, element));
      const bool halved = element == Element::bf16 && dense_bf16_native();
      CHECK(weights.bytes() <= announced);
      CHECK(weights.bytes() >= in * out * (halved ? 2 : 4) + out * 4);
      if (dense_bf16_native()) CHECK(weights.bytes() == announced);
    }
  }
}

TEST_CASE("bf16 conversion rounds to nearest even and keeps what is not a number", "[kernels][element]") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const auto bits = [](std::uint32_t b) { return std::bit_cast<float>(b); };
  CHECK(to_bf16(1.0f) == 0x3F80);
  CHECK(to_bf16(bits(0x3F808000u)) == 0x3F80);  // halfway, to even: down
  CHECK(to_bf16(bits(0x3F818000u)) == 0x3F82);  // halfway, to even: up
  CHECK(to_bf16(bits(0x3F808001u)) == 0x3F81);
  CHECK(to_bf16(bits(0x7F7FFFFFu)) == 0x7F80);  // the largest fp32 rounds to infinity
  CHECK(to_bf16(-inf) == 0xFF80);
  CHECK(to_bf16(bits(0x00000001u)) == 0);
  CHECK(to_bf16(bits(0x00018000u)) == 2);  // a denormal is rounded, not flushed
  CHECK(std::isnan(from_bf16(to_bf16(nan))));
  CHECK(std::isnan(from_bf16(to_bf16(bits(0x7F800001u)))));  // its payload would be cut away
  CHECK(std::isnan(from_bf16(to_bf16(bits(0xFFFFFFFFu)))));  // rounding would carry into the sign
  for (std::uint32_t b = 0; b <= 0xFFFF; ++b) {
    const float value = from_bf16(static_cast<Bf16>(b));
    const Bf16 back = to_bf16(value);
    if (std::isnan(value) ? !std::isnan(from_bf16(back)) : back != b) FAIL("not kept: " << b);
  }
}

TEST_CASE("bulk conversions have the bits of the single ones at every length", "[kernels][element]") {
  Buffer<float> values(2000);
  const RandomStream source(5, 1);
  // Patterns of all bits: denormals, infinities and NaN included. Every fourth is a half, which by chance hardly one
  // is.
  for (std::int64_t i = 0; i < values.size(); ++i) {
    const auto bits = static_cast<std::uint32_t>(source.bits(static_cast<std::uint64_t>(i)));
    values[i] = std::bit_cast<float>(i % 4 == 1 ? (bits & 0xFFFF0000u) | 0x8000u : bits);
  }
  for (std::uint32_t i = 0; i < 8; ++i) values[i] = std::bit_cast<float>(0x7F7FFFFEu + i);
  for (const std::int64_t n : {0, 1, 7, 15, 16, 17, 63, 65, 2000}) {
    CAPTURE(n);
    Buffer<Bf16> narrowed(n + 1);
    Buffer<float> widened(n + 1);
    narrowed[n] = 0x1234;
    widened[n] = 7;
    narrow(values.data(), n, narrowed.data());
    widen(narrowed.data(), n, widened.data());
    bool same = true;
    for (std::int64_t i = 0; i < n; ++i) {
      same = same && narrowed[i] == to_bf16(values[i]) &&
             std::bit_cast<std::uint32_t>(widened[i]) == std::bit_cast<std::uint32_t>(from_bf16(narrowed[i]));
    }
    CHECK(same);
    CHECK(narrowed[n] == 0x1234);
    CHECK(widened[n] == 7);
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
      layer_norm(x.data(), rows, dim, w.data(), b.data(), y.data(), Element::f32);
      Buffer<Bf16> narrowed(rows * dim);
      layer_norm(x.data(), rows, dim, w.data(), b.data(), narrowed.data(), Element::bf16);
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
          if (narrowed[r * dim + i] != to_bf16(y[r * dim + i])) {
            CAPTURE(dim, mean, r, i);
            REQUIRE(narrowed[r * dim + i] == to_bf16(y[r * dim + i]));
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
  CHECK(std::isfinite(bf16_dot_burst(1000)));
  CHECK(bf16_dot_burst_flops(2000) == 2 * bf16_dot_burst_flops(1000));
  // Pairs cancel, so the start values come out: the sum over chains, 16 lanes each.
  if (bf16_dot_burst_flops(1) > 0) CHECK(bf16_dot_burst(1000) == Approx(16 * (10.8 + 18.8)));
  Buffer<float> ones(1024);
  std::fill_n(ones.data(), ones.size(), 1.0f);
  CHECK(read_all(ones.span()) == 1024.0f);
  CHECK(std::string(simd_target()).size() > 2);
  CHECK(std::string(dense_library_version()).find('.') != std::string::npos);
}
