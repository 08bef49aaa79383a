// The check that stands before every timing: it must let good schemes pass and stop bad ones, at the full shape and
// where float64 ran on a cut-down one.
#include "equality/equality.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "faulty/faults.h"
#include "kvcast/words.h"
#include "unit/engine/builtin/schemes/harness.h"

using namespace kvcast;
using namespace kvcast::testing;

namespace {

const SchemeEntry* g_broken = nullptr;
Fault g_planted;
// Made through a list entry of its own, as the check makes schemes.
std::unique_ptr<Scheme> make_broken(const SchemeContext& context) {
  return std::make_unique<Faulty>(*g_broken, context, g_planted);
}
SchemeEntry broken(const SchemeEntry& entry, const Fault& fault) {
  g_broken = &entry;
  g_planted = fault;
  SchemeEntry result = entry;
  result.make = make_broken;
  return result;
}
Fault fault_named(const SchemeEntry& entry, const std::string& name) {
  for (const Fault& fault : faults_of(entry)) {
    if (fault.name == name) return fault;
  }
  FAIL("no fault " << name);
  return {};
}

// In a session of the engine. before_each: called before a scheme is made.
std::optional<Equivalence> check_these(const Problem& problem, const std::vector<equality::Judged>& judged,
                                       std::int64_t checked, double reference_flops, const std::function<bool()>& stop,
                                       const std::function<void(const SchemeInstance&)>& before_each = {}) {
  const std::unique_ptr<Session> session = builtin_engine().open(problem);
  for (const equality::Judged& one : judged) {
    if (before_each) before_each(one.instance);
    session->add(one.instance, one.batch);
    session->prepare(one.id(), std::vector<std::int64_t>{one.batch});
  }
  return equality::check({builtin_engine(), problem, *session}, judged, checked, reference_flops, stop);
}

// naive and a `shared` with this fault.
std::optional<Equivalence> check(const Config& config, const Fault& fault, double reference_flops,
                                 const std::function<bool()>& stop = {}) {
  constexpr std::int64_t kBatch = 9;
  const Problem problem(config, kBatch);
  const SchemeEntry entry = broken(*find_scheme("shared"), fault);
  const SchemeInstance instance{"faulty", &entry, {}};
  return check_these(problem, {{baseline(), kBatch}, {instance, kBatch}}, 5, reference_flops, stop);
}

constexpr double kPlenty = 1e18;

}  // namespace

TEST_CASE("a good scheme agrees, at the full shape and against a cut-down reference", "[equality]") {
  const Config config = small_config(90, 48, 4, 6);
  for (const double flops : {kPlenty, 2e7}) {
    const auto result = check(config, {"none"}, flops);
    REQUIRE(result);
    CHECK(result->agrees);
    CHECK((result->reference_shape == "full") == (flops == kPlenty));
    CHECK(result->checked_candidates >= 5);
    REQUIRE(result->schemes.size() == 2);
    CHECK(result->schemes[0].vs_reference->max_abs > 0);
    CHECK(result->schemes[0].vs_reference->max_abs <= *result->bound_reference);
    CHECK_FALSE(result->schemes[0].vs_naive);
    CHECK(*result->schemes[1].top_k_overlap == 1.0);
    CHECK(*result->schemes[1].kendall_tau == 1.0);
    // A bound worth having: a fault in every scheme alike would be of the order of the outputs themselves, about 1.
    CHECK(*result->bound_reference < 0.05);
  }
}

namespace {

// The check of all schemes, of which `entry` has this fault.
Equivalence check_all(const Config& config, const SchemeEntry& entry, const Fault& fault) {
  constexpr std::int64_t kBatch = 6;
  const SchemeEntry faulty = broken(entry, fault);
  const Problem problem(config, kBatch);
  std::vector<equality::Judged> judged;
  for (SchemeInstance instance : all_instances(config)) {
    if (instance.entry->name == entry.name) instance.entry = &faulty;
    judged.push_back({instance, kBatch});
  }
  return *check_these(problem, judged, 4, kPlenty, {});
}

}  // namespace

// What a fault of a kernel that all schemes share runs into (tests/mutate/faults.toml).
TEST_CASE("the engine as it is agrees with float64 at the shapes that people start with", "[equality]") {
  for (const auto& [length, dim, heads, layers] :
       std::vector<std::array<std::int64_t, 4>>{{64, 64, 2, 2}, {256, 256, 4, 4}}) {
    CAPTURE(length);
    const auto result = check(small_config(length, dim, heads, layers), {"none"}, kPlenty);
    REQUIRE(result);
    CHECK(result->agrees);
    CHECK(result->judged_candidates == reference_candidates(model_shape(small_config(length, dim, heads, 1)), 9));
    CHECK(result->tolerance_reference == result->bound_reference);
    CHECK(result->tolerance_naive == result->bound_reference);
    // Of outputs of about 5. Half a factor from what rounding comes to, so that a change of the bound shows.
    CHECK(*result->bound_reference < (dim == 64 ? 2e-5 : 6e-5));
    CHECK_FALSE(result->tolerance_fp32);
  }
}

TEST_CASE("a fault of naive does not raise what the others may be off by", "[equality]") {
  const Config config = small_config(40, 32, 4, 2);
  const SchemeEntry& naive = *find_scheme("naive");
  const Equivalence sound = check_all(config, naive, {"none"});
  const Equivalence faulty = check_all(config, naive, fault_named(naive, "wrong-scale"));
  CHECK_FALSE(faulty.agrees);
  CHECK(faulty.tolerance_reference == sound.tolerance_reference);
  CHECK(faulty.tolerance_naive == sound.tolerance_naive);
}

TEST_CASE("one key lost in a bf16 run is seen by the check in fp32", "[equality]") {
  for (const auto& [dtype, kv_dtype] :
       std::vector<std::pair<std::string, std::string>>{{"bf16", "bf16"}, {"fp32", "bf16"}, {"bf16", "fp32"}}) {
    CAPTURE(dtype, kv_dtype);
    Config config = small_config(200, 64, 4, 2);
    config.run.dtype = dtype;
    config.run.kv_dtype = kv_dtype;
    const auto sound = check(config, {"none"}, kPlenty);
    CHECK(sound->agrees);
    REQUIRE(sound->tolerance_fp32);
    CHECK(*sound->tolerance_fp32 < 0.05 * *sound->tolerance_reference);
    for (const SchemeEquivalence& row : sound->schemes) CHECK(row.vs_reference_fp32->max_abs > 0);
    const auto lost = check(config, fault_named(*find_scheme("shared"), "lost-key"), kPlenty);
    CHECK_FALSE(lost->agrees);
    CHECK(lost->schemes[0].agrees);
    CHECK(lost->schemes[1].vs_reference_fp32->max_abs > *lost->tolerance_fp32);
    CHECK(disagreement(*lost).find("float64, computed in fp32,") != std::string::npos);
  }
}

TEST_CASE("every planted fault makes the check fail, at the full shape and against a cut-down reference",
          "[equality]") {
  const Config config = small_config(90, 48, 4, 6);
  for (const Fault& fault : faults_of(*find_scheme("shared"))) {
    for (const double flops : {kPlenty, 2e7}) {
      CAPTURE(fault.name, flops);
      const auto result = check(config, fault, flops);
      REQUIRE(result);
      CHECK_FALSE(result->agrees);
      CHECK(result->schemes[0].agrees);
      CHECK_FALSE(result->schemes[1].agrees);
    }
  }
}

TEST_CASE("the full-shape tolerance of a cut reference still sees a lost key at every preset", "[equality][slow]") {
  for (const PresetInfo& preset : presets()) {
    CAPTURE(preset.name);
    Config config = parse_config(preset.json, preset.name, {}, HostLimits{2, std::int64_t{8} << 30});
    // The preset's own width and heads; as deep and long as a test can afford, with the reference cut below that.
    config.model.layers = std::min<std::int64_t>(config.model.layers, 6);
    config.model.history_length = std::min<std::int64_t>(config.model.history_length, 120 * config.model.token_merge);
    config.run.threads = 2;
    CHECK(check(config, {"none"}, 1e9)->agrees);
    CHECK_FALSE(check(config, fault_named(*find_scheme("shared"), "lost-key"), 1e9)->agrees);
    CHECK_FALSE(check(config, fault_named(*find_scheme("shared"), "swapped-values"), 1e9)->agrees);
  }
}

TEST_CASE("every scheme of the list is stopped by each of its faults", "[equality]") {
  const Config config = small_config(40, 32, 4, 2);
  for (const SchemeEntry& entry : scheme_list()) {
    CHECK(check_all(config, entry, {"none"}).agrees);
    const std::vector<Fault> faults = faults_of(entry);
    CHECK(faults.size() >= (keeps_cache(entry) ? 10 : 8));
    for (const Fault& fault : faults) {
      CAPTURE(entry.name, fault.name);
      const Equivalence result = check_all(config, entry, fault);
      CHECK_FALSE(result.agrees);
      const std::string words = disagreement(result);
      CAPTURE(words);
      for (const SchemeEquivalence& row : result.schemes) {
        const bool is_broken =
            row.scheme.starts_with(entry.name) && (row.scheme == entry.name || entry.name == "packed");
        // A wrong baseline takes the others with it; a wrong scheme is alone.
        if (is_broken) CHECK_FALSE(row.agrees);
        if (!is_broken && entry.shares) CHECK(row.agrees);
        CHECK((words.find("'" + row.scheme + "' is off by ") != std::string::npos) == !row.agrees);
      }
      CHECK(words.find("(allowed ") != std::string::npos);
      if (fault.name == "nan") CHECK(words.find("is off by NaN from ") != std::string::npos);
      if (fault.name == "infinity") CHECK(words.find("is off by inf from ") != std::string::npos);
    }
  }
}

TEST_CASE("schemes that agree on NaN or on infinity do not agree", "[equality]") {
  const Config config = small_config(20, 16, 2, 2);
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Fault fault{"the same everywhere"};
    fault.written = [value](std::vector<std::span<float>>& rows) {
      for (const std::span<float> row : rows) std::fill(row.begin(), row.end(), value);
    };
    constexpr std::int64_t kBatch = 4;
    const Problem problem(config, kBatch);
    std::vector<SchemeEntry> entries;
    for (const char* name : {"naive", "shared"}) entries.push_back(broken(*find_scheme(name), fault));
    std::vector<equality::Judged> judged;
    for (const SchemeEntry& entry : entries) judged.push_back({{entry.name, &entry, {}}, kBatch});
    const auto result = check_these(problem, judged, kBatch, kPlenty, {}, [](const SchemeInstance& instance) {
      g_broken = find_scheme(instance.entry->name);
    });
    REQUIRE(result);
    CHECK_FALSE(result->agrees);
    for (const SchemeEquivalence& row : result->schemes) CHECK_FALSE(row.agrees);
  }
}

TEST_CASE("a stop request ends the check without a verdict", "[equality]") {
  CHECK_FALSE(check(small_config(20, 16, 2, 2), {"none"}, kPlenty, [] { return true; }));
}

TEST_CASE("NaN is worse than any number and stays", "[equality]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(std::isnan(worse(nan, 1)));
  CHECK(std::isnan(worse(1, nan)));
  CHECK(worse(1, 2) == 2);
  CHECK(worse(2, 1) == 2);
  const std::vector<double> truth = {1, 2, 4}, values = {nan, 2, 4};
  CHECK(std::isnan(equality::vector_error(values, truth).max_abs));
  CHECK(std::isnan(equality::vector_error(values, truth).max_rel));
  CHECK(equality::vector_error(std::vector<double>{1, 2, 5}, truth).max_rel == 0.25);
}

TEST_CASE("samples spread over the batch, first and last among them", "[app]") {
  CHECK(equality::sampled_candidates(100, 5) == std::vector<std::int64_t>{0, 24, 49, 74, 99});
  CHECK(equality::sampled_candidates(3, 8) == std::vector<std::int64_t>{0, 1, 2});
  CHECK(equality::sampled_candidates(7, 1) == std::vector<std::int64_t>{6});
}
