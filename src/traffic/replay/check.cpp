// Outputs on the path of the replay against naive and float64, before anything is timed.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/text.h"
#include "engine/problem.h"
#include "equality/equality.h"
#include "traffic/replay/state.h"

namespace kvcast::traffic {
namespace {

// FLOPs of one float64 reference: a few seconds of its plain loops.
constexpr double kReferenceFlops = 4e9;

// A kind of request; how the slot came to what it holds.
struct Kind {
  std::string name;
  Work work;
  bool grown = false;  ///< the cached part comes from a smaller slot
};

class Checker {
 public:
  explicit Checker(ReplayState& state) : state_(state), server_(*state.servers.front()) {}

  void check(const Kind& kind) {
    const ModelShape shape = model_shape(state_.config);
    Work small = kind.work;
    small.candidates = std::min<std::int64_t>(small.candidates, 2);
    while (small.length > 16 && reference_flops(shape, small.length + 1) > kReferenceFlops) {
      small.length = std::max<std::int64_t>(16, small.length / 5 * 4);
    }
    if (kind.work.length > 0) small.known = kind.work.known * small.length / kind.work.length;
    const Problem problem = problem_of(small);
    const equality::Truth truth = *equality::truth_of(problem, count_of(problem), {});
    const double allowed = truth.allowed;
    refuse(kind, "naive", "float64", equality::largest_error(naive(problem), truth.outputs), allowed);
    refuse(kind, "the replay", "float64", equality::largest_error(replayed(small, kind.grown), truth.outputs), allowed);
    // The same at its own length, where only naive can be asked; its error grows with the keys (docs/model.md §7).
    const std::vector<float> exact = naive(problem_of(kind.work));
    const std::vector<double> baseline(exact.begin(), exact.end());
    refuse(kind, "the replay", "naive", equality::largest_error(replayed(kind.work, kind.grown), baseline),
           allowed * key_error_growth(kind.work.length) / key_error_growth(small.length));
  }

 private:
  static void refuse(const Kind& kind, const std::string& whose, const std::string& judge, double error,
                     double tolerance) {
    if (error <= tolerance) return;  // a NaN is not
    throw CheckError("the outputs of " + whose + " for a request (" + kind.name + ", history " +
                     std::to_string(kind.work.length) + ") differ from those of " + judge + " by " +
                     format_significant(error, 3) + " (allowed " + format_significant(tolerance, 3) + ")");
  }

  // In the order of positions: a history that sees no later token but is read from its end is reversed.
  std::vector<float> history_of(const Work& work) const {
    const std::int64_t dim = state_.dim;
    std::vector<float> tokens(static_cast<std::size_t>(work.length * dim));
    state_.items->history(work.user, work.first, work.length, tokens.data());
    if (state_.config.model.mask != Mask::history_blind) return tokens;
    std::vector<float> reversed;
    for (std::int64_t i = work.length - 1; i >= 0; --i) {
      reversed.insert(reversed.end(), tokens.begin() + i * dim, tokens.begin() + (i + 1) * dim);
    }
    return reversed;
  }

  // First and last of the request's, as they are compared.
  std::vector<float> picked(const Work& work, const float* rows) const {
    const std::int64_t dim = state_.dim;
    std::vector<float> result(rows, rows + dim);
    if (work.candidates > 1) {
      result.insert(result.end(), rows + (work.candidates - 1) * dim, rows + work.candidates * dim);
    }
    return result;
  }
  std::vector<float> candidates_of(const Work& work) const {
    std::vector<float> tokens(static_cast<std::size_t>(work.candidates * state_.dim));
    state_.items->candidates(work.number, work.candidates, tokens.data());
    return picked(work, tokens.data());
  }

  /// The request as a problem of its own.
  Problem problem_of(const Work& work) const {
    Config config = state_.config;
    config.model.history_length = work.length;
    config.run.threads = state_.options.threads;
    return {config, history_of(work), candidates_of(work)};
  }
  static std::int64_t count_of(const Problem& problem) {
    return static_cast<std::int64_t>(problem.candidates().size()) / problem.shape().dim;
  }
  std::vector<float> naive(const Problem& problem) const {
    const std::unique_ptr<Session> session = state_.service->open(problem);
    session->add(baseline(), count_of(problem));
    return equality::outputs_of(*session, baseline().label, problem.candidates(), problem.shape().dim);
  }

  // In a slot that another user has filled to the brim before.
  std::vector<float> replayed(const Work& work, bool grown) {
    std::unique_ptr<Slot> slot = state_.pool->take(grown ? state_.longest : work.length);
    Work other;
    other.user = ~work.user;
    other.length = std::min(state_.longest, state_.pool->capacity(*slot));
    serve(other, *slot->kv);
    if (work.known > 0) {
      Work before = work;
      before.length = work.known;
      before.known = 0;
      if (grown) {
        std::unique_ptr<Slot> smaller = state_.pool->take(before.length);
        serve(before, *smaller->kv);
        server_.copy(*smaller->kv, before.length, *slot->kv);
        state_.pool->give(std::move(smaller));
      } else {
        serve(before, *slot->kv);
      }
    }
    serve(work, *slot->kv);
    state_.pool->give(std::move(slot));
    return picked(work, server_.outputs().data());
  }
  void serve(const Work& work, UserKv& kv) {
    server_.prepare(work);
    server_.history(work, kv);
    server_.candidates(work, kv);
  }

  ReplayState& state_;
  Server& server_;
};

// The first request of each kind that has a history and candidates.
std::vector<Kind> kinds_of(const ReplayState& state) {
  std::vector<Kind> kinds;
  const auto add = [&](const std::string& name, bool grown, const auto& is) {
    for (std::size_t i = 0; i < state.expected.size(); ++i) {
      if (state.requests[i].candidates == 0 || !is(state.expected[i])) continue;
      kinds.push_back({name, state.work(i, state.expected[i]), grown});
      return;
    }
  };
  const auto part = [](const Lookup& l) { return l.found == Found::part; };
  add("nothing cached", false, [](const Lookup& l) { return l.known == 0 && l.length > 0; });
  add("a part cached", false, part);
  add("a part cached, in more room", true, part);
  add("all cached", false, [](const Lookup& l) { return l.found == Found::all && l.length > 0; });
  return kinds;
}

}  // namespace

void Replay::check() {
  state_->worker_pool->run([this](std::size_t worker) {
    if (worker != 0) return;
    Checker checker(*state_);
    for (const Kind& kind : kinds_of(*state_)) checker.check(kind);
  });
}

}  // namespace kvcast::traffic
