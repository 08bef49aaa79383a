#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "catch.h"
#include "engine/builtin/builtin.h"
#include "engine/problem.h"
#include "kvcast/config.h"
#include "kvcast/kvcast.h"

using namespace kvcast;

namespace {

constexpr std::int64_t kCandidateCount = 7;

Config config_of(std::int64_t workers) {
  return parse_config(R"({"model": {"history_length": 40, "dim": 16, "heads": 2, "layers": 2},
                          "run": {"workers": )" +
                          std::to_string(workers) +
                          R"(, "threads": 1, "candidates": [7], "append": 3,
                                  "schemes": ["naive", "shared", "shared-copy", "packed", "cached", "append"]}})",
                      "test", {}, {4, std::int64_t{8} << 30});
}

/// Outputs of a whole request.
std::vector<float> request(Session& session, const Problem& problem, const TimingId& id) {
  std::vector<float> outputs(static_cast<std::size_t>(kCandidateCount * problem.shape().dim));
  session.prefill(id);
  session.score(id, {problem.candidates().data(), kCandidateCount, outputs.data(), nullptr});
  return outputs;
}

std::atomic<int> made{0}, passes{0};

/// Counts its scoring passes, and is off by so much in its last candidate.
class OffByOne final : public Scheme {
 public:
  OffByOne(std::unique_ptr<Scheme> scheme, std::int64_t dim, int off)
      : scheme_(std::move(scheme)), dim_(dim), off_(off) {}
  void prepare(std::span<const std::int64_t> counts) override { scheme_->prepare(counts); }
  void take_history(std::span<const float> history) override { scheme_->take_history(history); }
  void prefill() noexcept override { scheme_->prefill(); }
  void listen(StepListener* listener) noexcept override { scheme_->listen(listener); }
  void candidate_pass(const float* candidates, std::int64_t count, float* outputs) noexcept override {
    ++passes;
    scheme_->candidate_pass(candidates, count, outputs);
    outputs[count * dim_ - 1] += static_cast<float>(off_);
  }

 private:
  std::unique_ptr<Scheme> scheme_;
  std::int64_t dim_;
  int off_;
};

/// shared, of which no two instances agree.
SchemeEntry faulty_shared() {
  SchemeEntry entry = *find_scheme("shared");
  entry.make = [](const SchemeContext& context) -> std::unique_ptr<Scheme> {
    return std::make_unique<OffByOne>(find_scheme("shared")->make(context), context.model->shape().dim,
                                      made.fetch_add(1));
  };
  made = 0;
  return entry;
}

}  // namespace

TEST_CASE("workers that serve at the same time give the outputs of one that is alone, bit by bit",
          "[engine][workers]") {
  const Config one = config_of(1), three = config_of(3);
  const Problem problem(one, kCandidateCount), shared_problem(three, kCandidateCount);
  const auto single = builtin_engine().open(problem), several = builtin_engine().open(shared_problem);
  for (const SchemeInstance& instance : scheme_instances(one)) {
    CAPTURE(instance.label);
    for (Session* session : {single.get(), several.get()}) {
      session->add(instance, kCandidateCount);
      session->prepare(instance.id(), std::vector<std::int64_t>{kCandidateCount});
    }
    TimingId id = instance.id();
    const std::vector<float> expected = request(*single, problem, id);
    CHECK(request(*several, shared_problem, id) == expected);
    CHECK(request(*several, shared_problem, id) == expected);
    id.alone = true;
    CHECK(request(*several, shared_problem, id) == expected);
  }
  CHECK(several->differences().empty());
}

TEST_CASE("a pass of several workers tells the mean of their seconds", "[engine][workers]") {
  const Config config = config_of(2);
  const Problem problem(config, kCandidateCount);
  const auto session = builtin_engine().open(problem);
  const SchemeInstance shared{"shared", find_scheme("shared"), {}};
  session->add(shared, kCandidateCount);
  session->prepare(shared.id(), std::vector<std::int64_t>{kCandidateCount});
  std::vector<float> outputs(static_cast<std::size_t>(kCandidateCount * problem.shape().dim));
  for (const bool alone : {false, true}) {
    TimingId id = shared.id();
    id.alone = alone;
    CHECK(session->prefill(id) > 0);
    CHECK(session->score(id, {problem.candidates().data(), kCandidateCount, outputs.data(), nullptr}) > 0);
  }
}

TEST_CASE("a pass that is alone is run by one worker, any other by all", "[engine][workers]") {
  const SchemeEntry entry = faulty_shared();
  const Config config = config_of(3);
  const Problem problem(config, kCandidateCount);
  const auto session = builtin_engine().open(problem);
  const SchemeInstance instance{"shared", &entry, {}};
  session->add(instance, kCandidateCount);
  session->prepare(instance.id(), std::vector<std::int64_t>{kCandidateCount});
  for (const bool alone : {false, true}) {
    TimingId id = instance.id();
    id.alone = alone;
    passes = 0;
    request(*session, problem, id);
    CHECK(passes == (alone ? 1 : 3));
  }
}

TEST_CASE("a worker whose outputs are not the first one's is told with the candidate that is off",
          "[engine][workers]") {
  const SchemeEntry entry = faulty_shared();
  const Config config = config_of(2);
  const Problem problem(config, kCandidateCount);
  const auto session = builtin_engine().open(problem);
  const SchemeInstance instance{"shared", &entry, {}};
  session->add(instance, kCandidateCount);
  session->prepare(instance.id(), std::vector<std::int64_t>{kCandidateCount});
  request(*session, problem, instance.id());
  request(*session, problem, instance.id());
  const std::vector<WorkerDifference> differences = session->differences();
  REQUIRE(differences.size() == 1);  // of two passes the first
  CHECK(differences[0].id == instance.id());
  CHECK(differences[0].candidates == kCandidateCount);
  CHECK(differences[0].worker == 2);
  CHECK(differences[0].candidate == kCandidateCount - 1);
  CHECK(differences[0].max_abs == Approx(1).margin(1e-5));
}

TEST_CASE("of several workers that differ each is told once", "[engine][workers]") {
  const SchemeEntry entry = faulty_shared();
  const Config config = config_of(3);
  const Problem problem(config, kCandidateCount);
  const auto session = builtin_engine().open(problem);
  const SchemeInstance instance{"shared", &entry, {}};
  session->add(instance, kCandidateCount);
  session->prepare(instance.id(), std::vector<std::int64_t>{kCandidateCount});
  request(*session, problem, instance.id());
  request(*session, problem, instance.id());
  REQUIRE(session->differences().size() == 2);
  CHECK(session->differences()[0].worker == 2);
  CHECK(session->differences()[1].worker == 3);
}
