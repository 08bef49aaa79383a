#include "app/profile.h"

#include <functional>
#include <set>
#include <string>

#include "measure/profile.h"

namespace kvcast::app {
namespace {

constexpr double kSecondsPerPass = 0.2;

// In the order of enum Step.
constexpr const char* kSteps[] = {"norm", "matmul", "gelu", "packing", "attention", "copy"};

class Listener final : public StepListener {
 public:
  explicit Listener(measure::StepClock& clock) : clock_(clock) {}
  void step_done(Step step) noexcept override { clock_.mark(static_cast<std::size_t>(step)); }

 private:
  measure::StepClock& clock_;
};

}  // namespace

std::vector<Profile> profile_scheme(Session& session, const TimingId& id, const SchemeEntry& entry,
                                    std::span<const std::int64_t> counts, int threads, Scoring scoring,
                                    const std::function<bool()>& stop_requested) {
  measure::StepClock clock(std::size(kSteps));
  Listener listener(clock);
  const double region_s = measure::empty_region_seconds(threads);
  std::vector<Profile> profiles;
  const auto add = [&](const std::string& pass, std::int64_t n, const std::function<void()>& run) {
    if (stop_requested && stop_requested()) return;
    const measure::StepTimes times = measure::time_steps(clock, run, kSecondsPerPass);
    Profile profile;
    profile.scheme = id.text();
    profile.pass = pass;
    profile.candidates = n;
    profile.seconds = times.total;
    for (std::size_t i = 0; i < std::size(kSteps); ++i) {
      if (times.marks[i] == 0) continue;
      profile.steps.push_back({kSteps[i], times.seconds[i], times.seconds[i] / times.total});
      if (static_cast<Step>(i) != Step::copy) profile.dispatches += times.marks[i];
    }
    profile.dispatch_seconds = static_cast<double>(profile.dispatches) * region_s;
    profiles.push_back(profile);
  };
  session.listen(id, &listener);
  if (entry.has_prefill) add("prefill", 0, [&] { session.prefill(id); });
  for (const std::int64_t n : std::set<std::int64_t>{counts.front(), counts.back()}) {
    scoring.count = n;
    add(entry.runs_history ? "forward" : "scoring", n, [&] { session.score(id, scoring); });
  }
  session.listen(id, nullptr);
  return profiles;
}

}  // namespace kvcast::app
