// Timed passes allocate nothing of their own: every operator new of the process is counted. Not under a sanitizer,
// which has an operator new of its own to watch.
#if !defined(KVCAST_SANITIZED)
#include <array>
#include <atomic>
#include <cstdlib>
#include <new>

#include "harness.h"

namespace {
std::atomic<std::int64_t> g_allocations{0};
}  // namespace

void* operator new(std::size_t size) {
  ++g_allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

using namespace kvcast;
using namespace kvcast::testing;

namespace {

// Allocations by the step that they came before.
class Counter final : public StepListener {
 public:
  void restart() {
    by_step = {};
    last_ = g_allocations;
  }
  void step_done(Step step) noexcept override {
    const std::int64_t all = g_allocations;
    by_step[static_cast<std::size_t>(step)] += all - last_;
    last_ = all;
  }
  std::array<std::int64_t, 6> by_step{};

 private:
  std::int64_t last_ = 0;
};

}  // namespace

TEST_CASE("no pass of any scheme allocates once it is prepared", "[schemes]") {
  Counter counter;
  for (const std::string dtype : {"fp32", "bf16"}) {
    for (const std::int64_t query_tokens : {0, 9}) {
      Config config = small_config(1100, 32, 2, 2);  // keys split over tasks
      config.model.query_tokens = query_tokens;
      config.run.dtype = config.run.kv_dtype = dtype;
      const EngineProblem problem(config, 7);
      std::vector<float> outputs(7 * 32);
      for (const SchemeInstance& instance : all_instances(config)) {
        CAPTURE(instance.label, dtype, query_tokens);
        const auto scheme = problem.make(instance, 7);
        scheme->prepare(std::vector<std::int64_t>{7});
        scheme->listen(&counter);
        counter.restart();
        scheme->prefill();
        scheme->candidate_pass(problem.candidates().data(), 7, outputs.data());
        // What the dense library allocates when it executes is its own affair.
        counter.by_step[static_cast<std::size_t>(Step::matmul)] = 0;
        CHECK(counter.by_step == std::array<std::int64_t, 6>{});
      }
    }
  }
  counter.restart();
  ::operator delete(::operator new(1));
  counter.step_done(Step::norm);
  CHECK(counter.by_step[static_cast<std::size_t>(Step::norm)] == 1);  // the counter counts
}
#endif
