// An engine without a model, on a clock that moves only when a pass runs: every outcome of a run is known beforehand.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/builtin/schemes/scheme.h"
#include "engine/engine.h"

namespace kvcast::testing {

/// What a scheme takes, in seconds. `log` of the world hears of every pass.
struct MockTimes {
  std::function<double()> prefill{};
  std::function<double(std::int64_t candidates)> score;
};

struct MockWorld {
  double time = 0;
  double canary_speed = 100;
  std::map<std::string, MockTimes> times;  ///< by the text of what is timed
  std::vector<std::string> log;
  std::function<void()> on_pass{};  ///< before each; what it throws is the session's failure
};

class MockSession final : public Session {
 public:
  explicit MockSession(MockWorld& world) : world_(world) {}

  void add(const SchemeInstance& scheme, std::int64_t max_candidates) override { most_[scheme.id()] = max_candidates; }
  void add_head(std::int64_t max_candidates) override { most_[TimingId::head()] = max_candidates; }
  void prepare(const TimingId& id, std::span<const std::int64_t> counts) override {
    static_cast<void>(id), static_cast<void>(counts);
  }
  double prefill(const TimingId& id) override {
    const auto& pass = world_.times.at(id.text()).prefill;
    if (!pass) return 0;
    return spend("history", pass());
  }
  double score(const TimingId& id, const Scoring& scoring) override {
    return spend(id.text() + " " + std::to_string(scoring.count), world_.times.at(id.text()).score(scoring.count));
  }
  void take_history(const TimingId& id, std::span<const float> history) override {
    static_cast<void>(history);
    world_.log.push_back("history of another user for " + id.text());
  }
  void spoil_history(const TimingId& id) override {
    static_cast<void>(id);
    world_.log.emplace_back("spoil history");
  }

 private:
  double spend(const std::string& what, double seconds) {
    if (world_.on_pass) world_.on_pass();
    world_.log.push_back(what);
    world_.time += seconds;
    return seconds;
  }

  MockWorld& world_;
  std::map<TimingId, std::int64_t> most_;
};

class MockEngine final : public Engine {
 public:
  explicit MockEngine(MockWorld& world) : world_(world) {}
  EngineInfo info() const override { return {"mock", "1", "takes the time that it is told to"}; }
  Capabilities capabilities() const override {
    Capabilities can = capabilities_;
    can.gives_outputs = can.tells_steps = false;
    return can;
  }
  std::unique_ptr<Session> open(const Problem& problem) const override {
    static_cast<void>(problem);
    if (world_.on_pass) world_.log.emplace_back("open");
    return std::make_unique<MockSession>(world_);
  }
  Capabilities capabilities_{};

 private:
  MockWorld& world_;
};

}  // namespace kvcast::testing
