#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "catch.h"
#include "kvcast/kvcast.h"

namespace kvcast {
namespace {

using Catch::Contains;
using Catch::StartsWith;
using Json = nlohmann::json;

VerifyResult agreeing() {
  VerifyResult result;
  result.shape = CaseShape{{64, 32, 2, 2, 2}, "fp32", "fp32", 2, "causal", true};
  result.machine.isa = "AVX2";
  result.candidates = 4;
  result.equivalence.shareable = result.equivalence.agrees = true;
  result.equivalence.checked_candidates = 4;
  result.equivalence.tolerance_reference = 1e-5;
  result.equivalence.reference_shape = "full";
  for (const char* scheme : {"naive", "shared"}) {
    SchemeEquivalence& row = result.equivalence.schemes.emplace_back();
    row.scheme = scheme;
    row.vs_reference = ErrorPair{2e-6, 1e-6};
    row.agrees = true;
  }
  return result;
}

}  // namespace

TEST_CASE("a proof says its outcome first", "[report][verify]") {
  VerifyResult result = agreeing();
  CHECK_THAT(render(result, "table"), StartsWith("All 2 schemes agree with float64 and with naive.\n"));
  CHECK_THAT(render(result, "table"), Contains("shared    2.0e-06 1.0e-06"));
  CHECK_THAT(render(result, "table", true), StartsWith("\x1b[1mAll 2 schemes"));
  result.skipped = {{"packed", "the mask"}};
  CHECK_THAT(render(result, "table"), Contains("not compared  packed: the mask\n"));
  result.equivalence.agrees = result.equivalence.schemes[1].agrees = false;
  CHECK_THAT(render(result, "table"), StartsWith("Outputs DISAGREE: "));
  result.stale = StaleError{{{0.5, 0.25}}, {0.125, 0.0625}, "candidate", "full", 64, 7};
  const std::string text = render(result, "table");
  CHECK_THAT(text, StartsWith("Mask 'causal' cannot share the history.\n"));
  CHECK_THAT(text, Contains("K,V of layer 0") && Contains("output at the candidate") && Contains("candidate 7"));
  CHECK_THROWS_AS(render(result, "csv"), ConfigError);
}

TEST_CASE("a proof as JSON has the members that it had", "[report][verify]") {
  VerifyResult result = agreeing();
  result.stored = {{"outputs.reference", 4, {1e-6, 1e-7}, 2, 1e-5, true, ""},
                   {"outputs.naive", 4, {}, 0, 0, false, "shape"}};
  result.equivalence.schemes[1].vs_naive = ErrorPair{std::numeric_limits<double>::quiet_NaN(), 1};
  Json json = Json::parse(render(result, "json"));
  for (const char* member :
       {"shape", "machine", "warnings", "candidates", "skipped", "equivalence", "stored_outputs", "stale"}) {
    CHECK(json.contains(member));
  }
  CHECK(json["stale"].is_null());
  CHECK(json["shape"]["query_tokens"].is_null());
  for (const char* member :
       {"shareable", "agrees", "checked_candidates", "judged_candidates", "ranked_candidates", "tolerance_reference",
        "bound_reference", "tolerance_naive", "tolerance_fp32", "top_k", "reference_shape", "layers", "schemes"}) {
    CAPTURE(member);
    CHECK(json["equivalence"].contains(member));
  }
  CHECK(json["equivalence"]["tolerance_reference"] == 1e-5);
  CHECK(json["equivalence"]["schemes"][1]["scheme"] == "shared");
  CHECK(json["equivalence"]["schemes"][1]["vs_naive"]["max_abs"].is_null());
  CHECK(json["equivalence"]["schemes"][0]["vs_naive"].is_null());
  CHECK(json["stored_outputs"][0]["max_abs"] == 1e-6);
  CHECK(json["stored_outputs"][0]["reason"].is_null());
  CHECK(json["stored_outputs"][1]["agrees"].is_null());
  CHECK(json["stored_outputs"][1]["reason"] == "shape");
  result.stale = StaleError{{{0.5, 0.25}}, {0.125, 0.0625}, "candidate", "full", 64, 7};
  json = Json::parse(render(result, "json"));
  CHECK(json["stale"]["kv_per_layer"][0]["max_abs"] == 0.5);
  CHECK(json["stale"]["worst_candidate"] == 7);
}

}  // namespace kvcast
