#include "engine/builtin/kernels/isa.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/random.h"
#include "catch.h"
#include "engine/builtin/kernels/dense.h"
#include "engine/builtin/kernels/element.h"
#include "engine/builtin/kernels/gelu.h"
#include "engine/builtin/kernels/machine.h"
#include "engine/builtin/kernels/norm.h"

using namespace kvcast;
using namespace kvcast::kernels;

namespace {

constexpr double kEps = std::numeric_limits<float>::epsilon();

// Puts the choice back however a test ends.
struct Restore {
  Restore() = default;
  Restore(const Restore&) = delete;
  Restore& operator=(const Restore&) = delete;
  ~Restore() { select_isa("auto"); }
};

Buffer<float> random(std::int64_t n, std::uint64_t stream) {
  Buffer<float> values(n);
  const RandomStream source(13, stream);
  for (std::int64_t i = 0; i < n; ++i) values[i] = source.unit(static_cast<std::uint64_t>(i)) * 4 - 2;
  return values;
}

// Runs this program again with one test: the dense library takes a limit only before its first use.
int in_new_process(const std::string& variables, const std::string& tests) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  return std::system((variables + " '" + self + "' '" + tests + "' > /dev/null").c_str());
}

}  // namespace

TEST_CASE("every listed target can be forced and is the one that runs", "[kernels][isa]") {
  const Restore restore;
  const std::string best = simd_target();
  const std::vector<std::string> names = isa_names();
  REQUIRE(!names.empty());
  CHECK(names.front() == selected_isa());
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == names.size());
  const std::int64_t rows = 3, dim = 71;
  const Buffer<float> x = random(rows * dim, 1), w = random(dim, 2), b = random(dim, 3);
  std::vector<double> widths;
  for (const std::string& name : names) {
    CAPTURE(name);
    REQUIRE(select_isa(name));
    CHECK(selected_isa() == name);
    std::string ran = simd_target();
    std::transform(ran.begin(), ran.end(), ran.begin(), [](char c) { return static_cast<char>(std::tolower(c)); });
    CHECK(ran == name);
    CHECK(isa_names() == names);
    widths.push_back(fma_burst_flops(1));
    CHECK(std::isfinite(fma_burst(100)));

    Buffer<float> y(rows * dim), g(rows * dim);
    layer_norm(x.data(), rows, dim, w.data(), b.data(), y.data(), Element::f32);
    gelu(x.data(), rows * dim, g.data(), Element::f32);
    for (std::int64_t r = 0; r < rows; ++r) {
      double mean = 0, variance = 0;
      for (std::int64_t i = 0; i < dim; ++i) mean += x[r * dim + i] / static_cast<double>(dim);
      for (std::int64_t i = 0; i < dim; ++i) {
        variance += (x[r * dim + i] - mean) * (x[r * dim + i] - mean) / static_cast<double>(dim);
      }
      const double inverse = 1 / std::sqrt(variance + kNormEpsilon);
      for (std::int64_t i = 0; i < dim; ++i) {
        const double v = x[r * dim + i];
        const double exact = (v - mean) * inverse * w[i] + b[i];
        // As in the test of layer_norm; values are up to 2.
        const double bound = kEps * (static_cast<double>(dim) + 8) * (4 * inverse * std::abs(w[i]) + std::abs(b[i]));
        if (!(std::abs(y[r * dim + i] - exact) <= bound)) REQUIRE(std::abs(y[r * dim + i] - exact) <= bound);
        const double phi = 0.5 * v * std::erfc(-v / std::sqrt(2.0));
        if (!(std::abs(g[r * dim + i] - phi) <= 4e-7)) REQUIRE(std::abs(g[r * dim + i] - phi) <= 4e-7);
      }
    }
  }
  // Better targets have wider vectors; the last has the narrowest.
  CHECK(std::is_sorted(widths.rbegin(), widths.rend()));
  CHECK((names.size() == 1 || widths.front() > widths.back()));
  REQUIRE(select_isa("auto"));
  CHECK(simd_target() == best);
}

TEST_CASE("a target that is not there is refused and changes nothing", "[kernels][isa]") {
  const Restore restore;
  REQUIRE(select_isa(isa_names().back()));
  for (const char* name : {"", "AVX2", "avx", "neon", "best", "avx2 ", "unknown"}) {
    CAPTURE(name);
    CHECK_FALSE(select_isa(name));
    CHECK(selected_isa() == isa_names().back());
  }
}

TEST_CASE("gelu keeps its bound on every target", "[kernels][isa][gelu]") {
  const Restore restore;
  std::vector<float> x, y;
  for (int i = -10000; i <= 10000; ++i) x.push_back(static_cast<float>(i) * 1e-3f);
  x.push_back(std::numeric_limits<float>::quiet_NaN());
  x.push_back(std::numeric_limits<float>::infinity());
  x.push_back(-std::numeric_limits<float>::infinity());
  for (const std::string& name : isa_names()) {
    CAPTURE(name);
    REQUIRE(select_isa(name));
    y.assign(x.size(), -1);
    gelu(x.data(), static_cast<std::int64_t>(x.size()), y.data(), Element::f32);
    for (std::size_t i = 0; i + 3 < x.size(); ++i) {
      const double v = x[i], exact = 0.5 * v * std::erfc(-v / std::sqrt(2.0));
      const bool good = std::abs(y[i] - exact) <= 2e-7 * std::max(1.0, std::abs(v)) && (v < 0 ? y[i] <= 0 : y[i] >= 0);
      if (!good) {
        CAPTURE(v, y[i], exact);
        REQUIRE(good);
      }
    }
    CHECK(std::isnan(y[x.size() - 3]));
    CHECK(y[x.size() - 2] == std::numeric_limits<float>::infinity());
    CHECK(y[x.size() - 1] == 0);
  }
}

TEST_CASE("bf16 conversions have the same bits on every target", "[kernels][isa][element]") {
  const Restore restore;
  Buffer<float> values(1000);
  const RandomStream source(5, 2);
  for (std::int64_t i = 0; i < values.size(); ++i) {
    const auto bits = static_cast<std::uint32_t>(source.bits(static_cast<std::uint64_t>(i)));
    values[i] = std::bit_cast<float>(i % 4 == 1 ? (bits & 0xFFFF0000u) | 0x8000u : bits);  // halves, too
  }
  values[3] = std::bit_cast<float>(0x7FFFFFFFu);
  for (const std::string& name : isa_names()) {
    CAPTURE(name);
    REQUIRE(select_isa(name));
    Buffer<Bf16> narrowed(values.size());
    Buffer<float> widened(values.size());
    narrow(values.data(), values.size(), narrowed.data());
    widen(narrowed.data(), values.size(), widened.data());
    bool same = true;
    for (std::int64_t i = 0; i < values.size(); ++i) {
      same = same && narrowed[i] == to_bf16(values[i]) &&
             std::bit_cast<std::uint32_t>(widened[i]) == std::bit_cast<std::uint32_t>(from_bf16(narrowed[i]));
    }
    CHECK(same);
  }
}

// Run by the test below in a process of its own. Environment: KVCAST_TEST_ISA.
TEST_CASE("a fresh process forces the dense library too", "[.isa-child]") {
  const char* name = std::getenv("KVCAST_TEST_ISA");
  if (name == nullptr) {
    SUCCEED("not asked for");
    return;
  }
  REQUIRE(select_isa(name));
  CHECK(dense_isa_follows());
  const std::string dense = dense_isa(), forced = name;
  if (forced == "avx2") CHECK(dense.starts_with("avx2"));
  if (forced.starts_with("avx3") || forced == "auto") CHECK(dense.starts_with("avx512_core"));
  if (forced.starts_with("s") || forced.starts_with("e")) CHECK(dense == "sse41");
  CHECK(dense_bf16_native() == dense.starts_with("avx512_core"));
  // From here on a limit is refused, and told.
  const std::string other = forced == "avx2" ? "sse4" : "avx2";
  REQUIRE(select_isa(other));
  CHECK_FALSE(dense_isa_follows());
  CHECK(dense_isa() == dense);
}

TEST_CASE("the dense library is limited with the kernels, when asked in time", "[kernels][isa]") {
  const std::vector<std::string> names = isa_names();
  // The expectations are for a machine with AVX-512 and without oneDNN's own variable.
  if (!names.front().starts_with("avx3") || std::getenv("ONEDNN_MAX_CPU_ISA") != nullptr) {
    WARN("nothing checked: needs AVX-512");
    return;
  }
  for (const std::string& name : names) {
    CAPTURE(name);
    CHECK(in_new_process("KVCAST_TEST_ISA=" + name, "[.isa-child]") == 0);
  }
  CHECK(in_new_process("KVCAST_TEST_ISA=auto", "[.isa-child]") == 0);
  // That a failure inside would be seen here.
  CHECK(in_new_process("KVCAST_TEST_ISA=none", "[.isa-child]") != 0);
}

TEST_CASE("dense products pass their tests without the library's AVX-512", "[kernels][isa]") {
  // bf16 takes its portable way there.
  if (std::getenv("ONEDNN_MAX_CPU_ISA") != nullptr) return;
  for (const char* isa : {"AVX2", "SSE41"}) {
    CAPTURE(isa);
    CHECK(in_new_process(std::string("ONEDNN_MAX_CPU_ISA=") + isa, "[dense]") == 0);
  }
}
