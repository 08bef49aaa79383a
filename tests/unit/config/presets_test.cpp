#include <algorithm>
#include <string>
#include <vector>

#include "catch.h"
#include "kvcast/config.h"
#include "kvcast/cost_model.h"
#include "kvcast/error.h"

using namespace kvcast;

namespace {
constexpr HostLimits kHost{2, std::int64_t{8} << 30};
using Ints = std::vector<std::int64_t>;
}  // namespace

TEST_CASE("the presets of the contract are built in, by name, with their source", "[config][presets]") {
  std::vector<std::string> names;
  for (const PresetInfo& preset : presets()) {
    CAPTURE(preset.name);
    names.push_back(preset.name);
    CHECK_FALSE(preset.comment.empty());
    CHECK(load_config(preset.name, {}, kHost).comment == preset.comment);
    CHECK(config_to_json(parse_config(preset.json, "embedded", {}, kHost)) ==
          config_to_json(load_config(preset.name, {}, kHost)));
  }
  CHECK(std::is_sorted(names.begin(), names.end()));
  for (const char* name : {"default", "seed", "smoke"}) CHECK(std::count(names.begin(), names.end(), name) == 1);
}

TEST_CASE("presets have the shapes they are named for", "[config][presets]") {
  const Config small = load_config("default", {}, kHost);
  CHECK(small.model.history_length == 256);
  CHECK(small.model.dim == 256);
  CHECK(small.model.heads == 4);
  CHECK(small.model.layers == 4);
  CHECK(small.run.candidates == Ints{1, 5, 10, 50, 100});
  CHECK(small.measure.budget_s == 20.0);

  const Config seed = load_config("seed", {}, kHost);
  CHECK(seed.model.history_length == 1000);
  CHECK(seed.model.dim == 768);
  CHECK(seed.model.heads == 12);
  CHECK(seed.model.layers == 50);
  CHECK(seed.run.candidates == Ints{1, 5, 10, 50, 100, 1000});
  CHECK(seed.measure.budget_s == 150.0);

  CHECK(load_config("smoke", {}, kHost).measure.budget_s <= 3.0);
}

TEST_CASE("the head of seed-drop takes 1.5 times the FLOPs of naive, so that 40% are lost to it", "[config][presets]") {
  const Config config = load_config("seed-drop", {}, kHost);
  const ModelConfig& m = config.model;
  WorkShape work;
  work.history_length = m.history_length;
  work.dim = m.dim;
  work.heads = m.heads;
  work.kv_heads = m.kv_heads;
  work.layers = m.layers;
  work.ffn_factor = m.ffn_factor;
  work.trim = config.run.trim;
  const double naive = naive_flops(work), head = head_flops(m.dim, m.head_width, m.head_layers);
  CHECK(head / naive == Approx(1.5).epsilon(0.01));
  CHECK(naive / (naive + head) == Approx(0.4).epsilon(0.01));
  CHECK(config.run.candidates == Ints{1, 5, 10, 50, 100});
}

TEST_CASE("an unknown preset suggests a near one and lists all", "[config][presets]") {
  std::string message;
  try {
    load_config("sead", {}, kHost);
  } catch (const ConfigError& error) {
    message = error.what();
  }
  CHECK(message.starts_with("'sead': unknown preset; did you mean 'seed'? presets: default, "));
  CHECK_THROWS_AS(load_config("zzzzzz", {}, kHost), ConfigError);
}

TEST_CASE("assignments win over a preset", "[config][presets]") {
  CHECK(load_config("seed", {{"model.layers", "2", "--layers"}}, kHost).model.layers == 2);
}
