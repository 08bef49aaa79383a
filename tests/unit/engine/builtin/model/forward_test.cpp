#include "engine/builtin/model/forward.h"

#include <array>

#include "../schemes/harness.h"

using namespace kvcast;
using namespace kvcast::testing;

TEST_CASE("a listener hears of every kind of step, and only while it listens", "[model]") {
  struct Counter final : StepListener {
    void step_done(Step step) noexcept override { ++counts[static_cast<std::size_t>(step)]; }
    std::array<int, 6> counts{};
  } counter;
  const EngineProblem problem(small_config(30, 16, 2, 2), 4);
  for (const SchemeInstance& instance : all_instances(problem.config())) {
    CAPTURE(instance.label);
    const auto scheme = problem.make(instance, 4);
    scheme->listen(&counter);
    counter.counts = {};
    run_scheme(*scheme, problem, 4);
    CHECK(counter.counts[static_cast<std::size_t>(Step::norm)] >= 4);
    CHECK(counter.counts[static_cast<std::size_t>(Step::matmul)] >= 8);
    CHECK(counter.counts[static_cast<std::size_t>(Step::attention)] >= 2);
    scheme->listen(nullptr);
    counter.counts = {};
    run_scheme(*scheme, problem, 4);
    CHECK(counter.counts == std::array<int, 6>{});
  }
}
