#include "engine/engine.h"

#include "catch.h"
#include "engine/builtin/builtin.h"
#include "kvcast/config.h"

using namespace kvcast;

TEST_CASE("what an engine cannot do is named with the engine, and kvcast's own does it all", "[engine]") {
  Config config;
  config.model.import = "weights.safetensors";
  config.measure.cold = true;
  config.run.dtype = "bf16";
  for (const SchemeEntry& entry : scheme_list()) {
    CHECK(builtin_engine().capabilities().why_not("builtin", entry.name, config).empty());
  }
  const auto why_not = [&](const Capabilities& can) { return can.why_not("other", "packed", config); };
  Capabilities can;
  can.schemes = {"naive", "shared"};
  CHECK(why_not(can) == "other runs naive, shared only");
  can = {};
  can.dtypes = {"fp32"};
  CHECK(why_not(can) == "other runs in fp32 only");
  can = {};
  can.loads_weights = false;
  CHECK(why_not(can) == "other runs weights of its own only, not a file's");
  can = {};
  can.changes_history = false;
  CHECK(why_not(can) == "other keeps to one history, and --cold takes another's");
  can = {};
  can.serves_workers = false;
  CHECK(why_not(can).empty());
  config.run.workers = 2;
  CHECK(why_not(can) == "other serves one request at a time");
  CHECK_FALSE(builtin_engine().info().name.empty());
}
