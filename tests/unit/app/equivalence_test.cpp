// The check that stands before every timing: it must let good schemes pass and stop bad ones, at the full shape and
// where float64 ran on a cut-down one.
#include <cmath>
#include <limits>

#include "../schemes/harness.h"

using namespace kvcast;
using namespace kvcast::testing;

namespace {

enum class Fault { none, lost_key, stale_key, swapped_heads, nan_first, one_bad_candidate };
Fault g_fault = Fault::none;

// `shared` with something wrong. Made through a list entry of its own, as the check makes schemes.
class Faulty final : public SharingScheme {
 public:
  using SharingScheme::SharingScheme;
  void user_pass() noexcept override {
    SharingScheme::user_pass();
    if (g_fault == Fault::lost_key) cache_.length -= 1;
    if (g_fault == Fault::stale_key) {
      std::fill_n(reinterpret_cast<float*>(cache_.keys(0)), cache_.view(0).shape.head_dim, 0.5f);
    }
    if (g_fault == Fault::swapped_heads) {
      for (std::int64_t layer = 0; layer < context_.model->shape().layers; ++layer) swap_first_heads(cache_, layer);
    }
  }
  void candidate_pass(const float* candidates, std::int64_t count, float* outputs) noexcept override {
    run_blocks(candidates, count, outputs, cache_);
    // Not in the last element, nor in the last candidate: what comes after must not hide it.
    if (g_fault == Fault::nan_first) outputs[0] = std::numeric_limits<float>::quiet_NaN();
    if (g_fault == Fault::one_bad_candidate) outputs[context_.model->shape().dim * (count - 1)] += 0.01f;
  }
};

std::unique_ptr<Scheme> make_faulty(const SchemeContext& context) { return std::make_unique<Faulty>(context); }

std::optional<Equivalence> check(const Config& config, Fault fault, double reference_flops,
                                 const std::function<bool()>& stop = {}) {
  g_fault = fault;
  constexpr std::int64_t kBatch = 9;
  const app::Problem problem(config, kBatch);
  SchemeEntry entry = *find_scheme("shared");
  entry.name = "faulty";
  entry.make = make_faulty;
  const SchemeInstance instance{entry.name, &entry, {}};
  const auto naive = problem.make(app::baseline(), kBatch);
  const auto faulty = problem.make(instance, kBatch);
  faulty->prepare(std::vector<std::int64_t>{kBatch});
  return app::check_equality(problem, {{app::baseline(), naive.get(), kBatch}, {instance, faulty.get(), kBatch}}, 5,
                             reference_flops, stop);
}

constexpr double kPlenty = 1e18;

}  // namespace

TEST_CASE("a good scheme agrees, at the full shape and against a cut-down reference", "[app][equivalence]") {
  const Config config = small_config(90, 48, 4, 6);
  for (const double flops : {kPlenty, 2e7}) {
    const auto result = check(config, Fault::none, flops);
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

TEST_CASE("every planted fault makes the check fail, at the full shape and against a cut-down reference",
          "[app][equivalence]") {
  const Config config = small_config(90, 48, 4, 6);
  for (const Fault fault :
       {Fault::lost_key, Fault::stale_key, Fault::swapped_heads, Fault::nan_first, Fault::one_bad_candidate}) {
    for (const double flops : {kPlenty, 2e7}) {
      CAPTURE(static_cast<int>(fault), flops);
      const auto result = check(config, fault, flops);
      REQUIRE(result);
      CHECK_FALSE(result->agrees);
      CHECK(result->schemes[0].agrees);
      CHECK_FALSE(result->schemes[1].agrees);
    }
  }
}

TEST_CASE("the full-shape tolerance of a cut reference still sees a lost key at every preset", "[app][equivalence]") {
  for (const PresetInfo& preset : presets()) {
    CAPTURE(preset.name);
    Config config = parse_config(preset.json, preset.name, {}, HostLimits{2, std::int64_t{8} << 30});
    // The preset's own width and heads; as deep and long as a test can afford, with the reference cut below that.
    config.model.layers = std::min<std::int64_t>(config.model.layers, 6);
    config.model.history_length = std::min<std::int64_t>(config.model.history_length, 120 * config.model.token_merge);
    config.run.threads = 2;
    CHECK(check(config, Fault::none, 1e9)->agrees);
    CHECK_FALSE(check(config, Fault::lost_key, 1e9)->agrees);
    CHECK_FALSE(check(config, Fault::swapped_heads, 1e9)->agrees);
  }
}

TEST_CASE("a stop request ends the check without a verdict", "[app][equivalence]") {
  CHECK_FALSE(check(small_config(20, 16, 2, 2), Fault::none, kPlenty, [] { return true; }));
}

TEST_CASE("NaN is worse than any number and stays", "[app][equivalence]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(std::isnan(app::worse(nan, 1)));
  CHECK(std::isnan(app::worse(1, nan)));
  CHECK(app::worse(1, 2) == 2);
  CHECK(app::worse(2, 1) == 2);
  const std::vector<double> truth = {1, 2, 4}, values = {nan, 2, 4};
  CHECK(std::isnan(app::vector_error(values, truth).max_abs));
  CHECK(std::isnan(app::vector_error(values, truth).max_rel));
  CHECK(app::vector_error(std::vector<double>{1, 2, 5}, truth).max_rel == 0.25);
}

TEST_CASE("samples spread over the batch, first and last among them", "[app]") {
  CHECK(app::sampled_candidates(100, 5) == std::vector<std::int64_t>{0, 24, 49, 74, 99});
  CHECK(app::sampled_candidates(3, 8) == std::vector<std::int64_t>{0, 1, 2});
  CHECK(app::sampled_candidates(7, 1) == std::vector<std::int64_t>{6});
}
