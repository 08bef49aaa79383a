// Every scheme of the list through the same checks.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>

#include "engine/builtin/kernels/isa.h"
#include "engine/builtin/kernels/machine.h"
#include "harness.h"
#include "kvcast/kvcast.h"

using namespace kvcast;
using namespace kvcast::testing;

namespace {

// The SIMD target to run on: tests/cli/isa_test.py starts this suite once for each, as a process of its own, because
// the dense library's limit holds from its first use on. Selected before any test runs.
const std::string kForcedIsa = [] {
  const char* isa = std::getenv("KVCAST_TEST_ISA");
  if (isa != nullptr) select_isa(isa);
  return std::string(isa == nullptr ? "" : isa);
}();

// 4 x naive's own error against float64 in the same run, and a bound on that.
void check_case(const Config& config, std::int64_t count) {
  const EngineProblem problem(config, count);
  const std::vector<double> truth = reference_of(problem, count);
  double tolerance = 0;
  for (const SchemeInstance& instance : all_instances(config)) {
    const double error = max_difference(run_instance(instance, problem, count), truth);
    CAPTURE(instance.label, config.model.history_length, config.model.dim, config.model.heads, config.model.kv_heads,
            config.model.layers, config.model.token_merge, config.model.query_tokens, config.model.candidate_from_layer,
            config.run.threads, config.run.trim, to_string(config.model.mask), config.run.dtype, config.run.kv_dtype,
            count, error);
    if (!instance.entry->shares) {
      tolerance = 4 * error;
      // Rounding of a few hundred terms of unit size, in bf16 of a dozen operands a layer (docs/model.md §7); far below
      // what any fault makes in fp32.
      CHECK(error < (config.run.dtype == "bf16"      ? 0.05 * static_cast<double>(config.model.layers)
                     : config.run.kv_dtype == "bf16" ? 0.02 * static_cast<double>(config.model.layers)
                                                     : 1e-4));
    } else {
      CHECK(error <= tolerance + 1e-6);
    }
  }
}

// What the engine can be asked to compute in: storage of activations and of the cache.
const std::vector<std::pair<std::string, std::string>> kTypes = {
    {"fp32", "fp32"}, {"fp32", "bf16"}, {"bf16", "bf16"}, {"bf16", "fp32"}};

}  // namespace

TEST_CASE("the suite runs on the SIMD target that was forced", "[schemes][conformance]") {
  std::string ran = kernels::simd_target();  // asks a kernel, through the dispatch that all of them use
  std::transform(ran.begin(), ran.end(), ran.begin(), [](unsigned char c) { return std::tolower(c); });
  if (kForcedIsa.empty()) {
    CHECK(ran == isa_names().front());
    return;
  }
  CHECK(ran == kForcedIsa);
  CHECK(kernels::dense_isa_follows());
  if (kForcedIsa == "avx2") CHECK(kernels::dense_isa() == "avx2");
  if (kForcedIsa.substr(0, 3) != "avx") CHECK(kernels::dense_isa() == "sse41");
}

TEST_CASE("every scheme equals float64 at odd sizes, threads, masks and trimming", "[schemes][conformance]") {
  for (const std::int64_t length : {0, 1, 7, 63, 65}) {
    for (const std::int64_t threads : {1, 2, 3}) {
      for (const bool trim : {true, false}) {
        for (const Mask mask : {Mask::causal, Mask::history_blind, Mask::target_first_causal, Mask::bidirectional}) {
          Config config = small_config(length, 24, 3, 2);
          config.run.threads = threads;
          config.run.trim = trim;
          config.model.mask = mask;
          check_case(config, 5);
        }
      }
    }
  }
}

TEST_CASE("every scheme handles one layer, one head, one candidate and odd widths", "[schemes][conformance]") {
  for (const std::int64_t layers : {1, 3}) {
    for (const auto& [dim, heads] :
         std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {7, 1}, {63, 3}, {65, 5}}) {
      for (const Mask mask : {Mask::causal, Mask::target_first_causal, Mask::bidirectional}) {
        Config config = small_config(33, dim, heads, layers);
        config.model.mask = mask;
        check_case(config, 1);
        check_case(config, 7);
      }
    }
  }
}

TEST_CASE("every scheme runs grouped and multi-query heads and other FFN factors", "[schemes][conformance]") {
  for (const std::int64_t kv_heads : {1, 2, 3, 6}) {
    for (const std::int64_t factor : {1, 3}) {
      Config config = small_config(40, 48, 6, 2);
      config.model.kv_heads = kv_heads;
      config.model.ffn_factor = factor;
      check_case(config, 6);
    }
  }
}

TEST_CASE("every scheme x type x shape equals float64", "[schemes][conformance]") {
  struct Variant {
    std::int64_t token_merge, query_tokens, from_layer;
  };
  for (const auto& [dtype, kv_dtype] : kTypes) {
    for (const Variant& v : std::vector<Variant>{
             {1, 0, 0}, {1, 0, 1}, {1, 0, 2}, {1, 5, 0}, {1, 5, 1}, {1, 1, 2}, {4, 0, 0}, {4, 7, 0}, {4, 3, 2}}) {
      for (const Mask mask : {Mask::causal, Mask::history_blind, Mask::target_first_causal, Mask::bidirectional}) {
        if (v.query_tokens > 0 && mask != Mask::causal && mask != Mask::history_blind) continue;
        for (const bool trim : {true, false}) {
          Config config = small_config(64, 24, 6, 3);
          config.model.kv_heads = 2;
          config.model.token_merge = v.token_merge;
          config.model.query_tokens = v.query_tokens;
          config.model.candidate_from_layer = v.from_layer;
          config.model.mask = mask;
          config.run.dtype = dtype;
          config.run.kv_dtype = kv_dtype;
          config.run.trim = trim;
          config.run.threads = trim ? 2 : 1;
          check_case(config, 5);
        }
      }
    }
  }
}

TEST_CASE("hybrid and late candidates at their edges", "[schemes][conformance]") {
  for (const std::int64_t length : {1, 2, 65}) {
    for (const std::int64_t query_tokens : {1, 2, 64, 65, 200}) {
      for (const std::int64_t layers : {1, 2}) {
        Config config = small_config(length, 16, 2, layers);
        config.model.query_tokens = query_tokens;
        config.model.candidate_from_layer = layers - 1;
        check_case(config, 3);
      }
    }
    // A history that is shared under masks of which only the last layer can be: it runs the others by the mask.
    for (const Mask mask : {Mask::bidirectional, Mask::target_first_causal}) {
      for (const bool trim : {true, false}) {
        Config config = small_config(length, 16, 2, 3);
        config.model.candidate_from_layer = 2;
        config.model.mask = mask;
        config.run.trim = trim;
        check_case(config, 3);
      }
    }
  }
}

TEST_CASE("a history long enough for its keys to be split over tasks", "[schemes][conformance]") {
  for (const auto& [dtype, kv_dtype] : kTypes) {
    Config config = small_config(1300, 16, 1, 2);
    config.run.dtype = dtype;
    config.run.kv_dtype = kv_dtype;
    config.run.threads = 3;
    check_case(config, 2);
  }
}

TEST_CASE("appending equals recomputing, in whatever steps", "[schemes][oracle]") {
  for (const auto& [dtype, kv_dtype] : kTypes) {
    for (const std::int64_t query_tokens : {0, 10}) {
      Config config = small_config(70, 32, 2, 3);
      config.model.query_tokens = query_tokens;
      config.run.dtype = dtype;
      config.run.kv_dtype = kv_dtype;
      const EngineProblem problem(config, 3);
      const std::vector<float> whole = run_named("shared", problem, 3);
      double largest = 0;
      for (const float value : whole) largest = std::max(largest, std::abs(static_cast<double>(value)));
      for (const std::int64_t fresh : {1, 2, 33, 69, 70}) {
        CAPTURE(dtype, kv_dtype, query_tokens, fresh);
        const std::vector<float> appended = run_instance({"append", find_scheme("append"), {fresh, 0}}, problem, 3);
        // fp32 differs by the order of sums only. A bf16 activation may round the other way for that: one unit in the
        // last place (2^-8) of a few operands.
        const double tolerance = dtype == "bf16"      ? 4.0 / 256 * largest
                                 : kv_dtype == "bf16" ? 1.0 / 256 * largest
                                                      : 2e-5;
        CHECK(max_difference(appended, whole) <= tolerance);
      }
    }
  }
}

TEST_CASE("an append that is left out is noticed", "[schemes][oracle]") {
  const Config config = small_config(70, 32, 2, 3);
  const EngineProblem problem(config, 3);
  const std::vector<float> whole = run_named("shared", problem, 3);
  const auto scheme = problem.make({"append", find_scheme("append"), {7, 0}}, 3);
  scheme->prepare(std::vector<std::int64_t>{3});
  std::vector<float> stale(whole.size());
  scheme->candidate_pass(problem.candidates().data(), 3, stale.data());  // without its prefill
  CHECK(max_difference(stale, whole) > 1e-3);
}

TEST_CASE("one layer can be shared under any mask, by dependency", "[schemes][conformance]") {
  for (const Mask mask : {Mask::causal, Mask::history_blind, Mask::target_first_causal, Mask::bidirectional}) {
    CHECK(shareable(mask, 1));
    CHECK(shareable(mask, 2) == (mask == Mask::causal || mask == Mask::history_blind));
    CHECK(shareable(mask, 5, 4));
  }
}

TEST_CASE("every execution of a scheme gives the same bits", "[schemes]") {
  for (const std::int64_t length : {20, 600}) {
    Config config = small_config(length, 32, 2, 2);
    config.run.threads = 2;
    const EngineProblem problem(config, 53);
    for (const SchemeInstance& instance : all_instances(config)) {
      const auto scheme = problem.make(instance, 53);
      scheme->choose_execution(0);
      const std::vector<float> first = run_scheme(*scheme, problem, 53);
      for (std::size_t which = 1; which < scheme->executions(); ++which) {
        scheme->choose_execution(which);
        CHECK(run_scheme(*scheme, problem, 53) == first);
      }
      if (!instance.entry->shares) {
        CHECK(scheme->executions() == 2);
        CHECK(scheme->how_run(53).execution != Execution::unknown);
      }
    }
  }
}

TEST_CASE("threads do not change a bit of any scheme", "[schemes]") {
  for (const auto& [dtype, kv_dtype] : kTypes) {
    for (const std::int64_t length : {65, 1300}) {  // the longer one has its keys split over tasks
      std::vector<std::vector<float>> outputs;
      for (const std::int64_t threads : {1, 2, 3, 7}) {
        Config config = small_config(length, 48, 4, 3);
        config.run.threads = threads;
        config.run.dtype = dtype;
        config.run.kv_dtype = kv_dtype;
        const EngineProblem problem(config, 3);
        std::vector<float>& all = outputs.emplace_back();
        for (const SchemeInstance& instance : all_instances(config)) {
          const std::vector<float> out = run_instance(instance, problem, 3);
          all.insert(all.end(), out.begin(), out.end());
        }
        CHECK(all == outputs.front());
      }
    }
  }
}

TEST_CASE("permuting candidates permutes outputs; dropping one leaves the others as they were", "[schemes][oracle]") {
  // Few on a short history; on one whose keys are split over tasks, as many as fill a row tile and one more.
  const auto [length, heads, count] =
      GENERATE(table<std::int64_t, std::int64_t, std::int64_t>({{50, 2, 12}, {1300, 1, 25}}));
  const std::int64_t dim = 32;
  const Config config = small_config(length, dim, heads, 2);
  const EngineProblem problem(config, count);
  for (const SchemeInstance& instance : all_instances(config)) {
    CAPTURE(instance.label, length);
    const std::vector<float> outputs = run_instance(instance, problem, count);
    std::vector<float> reversed(problem.candidates().begin(), problem.candidates().end());
    for (std::int64_t i = 0; i < count; ++i) {
      std::copy_n(problem.candidates().data() + (count - 1 - i) * dim, dim, reversed.data() + i * dim);
    }
    const auto scheme = problem.make(instance, count);
    scheme->prepare(std::vector<std::int64_t>{count, count - 1});
    scheme->prefill();
    std::vector<float> permuted(outputs.size()), fewer(outputs.size());
    scheme->candidate_pass(reversed.data(), count, permuted.data());
    scheme->candidate_pass(problem.candidates().data() + dim, count - 1, fewer.data());
    for (std::int64_t i = 0; i < count; ++i) {
      CHECK(std::equal(permuted.begin() + i * dim, permuted.begin() + (i + 1) * dim,
                       outputs.begin() + (count - 1 - i) * dim));
      if (i > 0) {
        CHECK(std::equal(outputs.begin() + i * dim, outputs.begin() + (i + 1) * dim, fewer.begin() + (i - 1) * dim));
      }
    }
  }
}

TEST_CASE("candidates never touch the cached keys and values", "[schemes][oracle]") {
  const Config config = small_config(50, 32, 2, 3);
  const EngineProblem problem(config, 6);
  std::int64_t caches = 0;
  for (const SchemeInstance& instance : all_instances(config)) {
    const auto scheme = problem.make(instance, 6);
    auto* sharing = dynamic_cast<SharingScheme*>(scheme.get());
    if (sharing == nullptr) continue;  // keeps no cache
    ++caches;
    scheme->prepare(std::vector<std::int64_t>{6});
    scheme->prefill();
    const auto snapshot = [&] {
      std::vector<std::byte> all;
      KvCache& cache = cache_of(*sharing);
      for (std::int64_t layer = 0; layer < 3; ++layer) {
        const kernels::KvShape shape = cache.view(layer).shape;
        all.insert(all.end(), cache.keys(layer), cache.keys(layer) + shape.key_bytes());
        all.insert(all.end(), cache.values(layer), cache.values(layer) + shape.value_bytes());
      }
      return all;
    };
    const std::vector<std::byte> before = snapshot();
    std::vector<float> outputs(6 * 32);
    scheme->candidate_pass(problem.candidates().data(), 6, outputs.data());
    CHECK(snapshot() == before);
  }
  CHECK(caches == 4);
}

TEST_CASE("history-blind equals causal over the reversed history", "[schemes][oracle]") {
  const std::int64_t length = 45, dim = 32, count = 4;
  Config config = small_config(length, dim, 2, 3);
  config.model.mask = Mask::history_blind;
  const EngineProblem problem(config, count);
  // The literal mask on one side, the causal one over a reversed history on the other: both in float64.
  std::vector<float> reversed;
  for (std::int64_t i = length; i-- > 0;) {
    const auto token = problem.history().subspan(static_cast<std::size_t>(i * dim), static_cast<std::size_t>(dim));
    reversed.insert(reversed.end(), token.begin(), token.end());
  }
  const std::vector<double> blind = reference_of(problem, count);
  const std::vector<double> causal =
      reference_outputs(problem.shape(), problem.source(), reversed, Mask::causal, problem.candidates(), 1);
  CHECK(max_difference(blind, causal) < 1e-12);
  for (const SchemeInstance& instance : all_instances(config)) {
    CHECK(max_difference(run_instance(instance, problem, count), causal) < 1e-4);
  }
}

namespace {

// shared-copy, but the copies are made outside of the pass, so that one can be damaged.
class Copies : public SharingScheme {
 public:
  explicit Copies(const SchemeContext& context)
      : SharingScheme(context),
        copies(KvCache::copies(context.model->shape(), context.max_candidates, context.history_length, 0)) {}
  void candidate_pass(const float* candidates, std::int64_t count, float* outputs) noexcept override {
    run_blocks(candidates, count, outputs, copies);
  }
  KvCache copies;

 protected:
  CandidatePass candidates_in(std::int64_t count) const override {
    CandidatePass pass = SharingScheme::candidates_in(count);
    pass.own_cache = true;
    return pass;
  }
};

}  // namespace

TEST_CASE("corrupting one copy of the cache changes that candidate only, in any row block", "[schemes][oracle]") {
  const std::int64_t dim = 8, length = 9;
  for (const std::int64_t count : {std::int64_t{5}, kCandidateBlock + 5}) {
    const EngineProblem problem(small_config(length, dim, 2, 2), count);
    SchemeContext context;
    context.model = &problem.model();
    context.history = problem.history();
    context.history_length = length;
    context.max_candidates = count;
    Copies scheme(context);
    scheme.prepare(std::vector<std::int64_t>{count});
    scheme.prefill();
    scheme.copies.broadcast_from(cache_of(scheme), count, 1);
    const auto run = [&] {
      std::vector<float> outputs(static_cast<std::size_t>(count * dim));
      scheme.candidate_pass(problem.candidates().data(), count, outputs.data());
      return outputs;
    };
    const std::vector<float> clean = run();
    CHECK(clean == run_named("shared-copy", problem, count));
    fp32_values(scheme.copies, 1, count - 2)[0] += 100.0f;
    const std::vector<float> corrupted = run();
    for (std::int64_t i = 0; i < count; ++i) {
      const bool same = std::equal(clean.begin() + i * dim, clean.begin() + (i + 1) * dim, corrupted.begin() + i * dim);
      CHECK(same == (i != count - 2));
    }
  }
}

TEST_CASE("candidates beyond one row block equal those within", "[schemes]") {
  const std::int64_t dim = 8, count = 2 * kCandidateBlock + 3;
  const EngineProblem problem(small_config(9, dim, 1, 2), count);
  for (const char* name : {"shared", "packed"}) {
    CAPTURE(name);
    const std::vector<float> all = run_named(name, problem, count);
    const auto scheme = problem.make(instance_of(name, problem.config()), count);
    for (const std::int64_t i : {std::int64_t{0}, kCandidateBlock - 1, kCandidateBlock, count - 1}) {
      std::vector<float> one(static_cast<std::size_t>(dim));
      scheme->prepare(std::vector<std::int64_t>{1});
      scheme->prefill();
      scheme->candidate_pass(problem.candidates().data() + i * dim, 1, one.data());
      CHECK(std::equal(one.begin(), one.end(), all.begin() + i * dim));
    }
  }
}

TEST_CASE("the list knows its own costs", "[schemes]") {
  WorkShape work;
  work.history_length = 100;
  work.dim = 64;
  work.heads = work.kv_heads = 4;
  work.layers = 3;
  for (const SchemeEntry& entry : scheme_list()) {
    CAPTURE(entry.name);
    CHECK(find_scheme(entry.name) == &entry);
    CHECK_FALSE(entry.doc.empty());
    const SchemeOptions options{20, 4};
    CHECK(entry.flops(work, 10, options) > entry.flops(work, 1, options));
    CHECK(entry.flops(work, 1, options) >= entry.prefill_flops(work, options));
    CHECK((entry.prefill_flops(work, options) > 0) == entry.has_prefill);
    CHECK(entry.kv_bytes(work, 1) > 0);
    ModelShape shape;
    shape.dim = 64;
    shape.heads = shape.kv_heads = 4;
    shape.layers = 3;
    shape.ffn_dim = 256;
    CHECK(entry.bytes(shape, {100, 10, 2, options}) >= entry.kv_bytes(work, 10));
  }
  CHECK(find_scheme("naive")->flops(work, 1, {}) == Approx(find_scheme("shared")->flops(work, 1, {})));
  // One pass for all is what shared does; four to a pass run the history three times for ten.
  CHECK(find_scheme("packed")->flops(work, 10, {}) == Approx(find_scheme("shared")->flops(work, 10, {})));
  CHECK(find_scheme("packed")->flops(work, 10, {0, 4}) - find_scheme("packed")->flops(work, 10, {}) ==
        Approx(2 * history_flops(work)));
  CHECK(find_scheme("append")->flops(work, 10, {100, 0}) == Approx(find_scheme("shared")->flops(work, 10, {})));
  CHECK(find_scheme("shared-copy")->kv_bytes(work, 50) == 50 * find_scheme("shared")->kv_bytes(work, 50));
  CHECK(find_scheme("nothing") == nullptr);
  CHECK_FALSE(scheme_list().front().shares);
}

TEST_CASE("a scheme takes another user's history as if it had been made with it", "[schemes][conformance]") {
  for (const Mask mask : {Mask::causal, Mask::history_blind}) {
    Config config = small_config(33, 16, 2, 2);
    config.model.mask = mask;
    const EngineProblem problem(config, 3);
    Config other_config = config;
    other_config.run.seed = 77;
    const EngineProblem other(other_config, 3);  // of which only the history is used
    for (const SchemeInstance& instance : all_instances(config)) {
      INFO(instance.label << " under " << to_string(mask));
      const auto moved = problem.make(instance, 3);
      const std::vector<float> own = run_scheme(*moved, problem, 3);
      moved->take_history(other.history());
      const std::vector<float> of_other = run_scheme(*moved, problem, 3);
      CHECK(of_other != own);
      // Bit for bit what a scheme made for that user gives, and back again.
      SchemeContext context;
      context.model = &problem.model();
      context.history = other.history();
      context.history_length = config.model.positions();
      context.mask = mask;
      context.max_candidates = 3;
      context.options = instance.options;
      const auto made = instance.entry->make(context);
      CHECK(run_scheme(*made, problem, 3) == of_other);
      moved->take_history(problem.history());
      CHECK(run_scheme(*moved, problem, 3) == own);
    }
  }
}
