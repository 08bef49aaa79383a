// Every scheme of the list through the same checks.
#include <algorithm>
#include <cmath>

#include "harness.h"

using namespace kvcast;
using namespace kvcast::testing;

namespace {

// 4 x naive's own error against float64 in the same run (docs/model.md §7).
void check_case(const Config& config, std::int64_t count) {
  const app::Problem problem(config, count);
  const std::vector<double> truth = reference_of(problem, count);
  double tolerance = 0;
  for (const SchemeEntry& entry : scheme_list()) {
    if (entry.shares && !shareable(config.model.mask, config.model.layers)) continue;
    const double error = max_difference(run_named(entry.name, problem, count), truth);
    CAPTURE(entry.name, config.model.history_length, config.model.dim, config.model.heads, config.model.kv_heads,
            config.model.layers, config.run.threads, config.run.trim, to_string(config.model.mask), count, error);
    if (!entry.shares) {
      tolerance = 4 * error;
      // Rounding of a few hundred terms of unit size; far below what any fault makes.
      CHECK(error < 1e-4);
    } else {
      CHECK(error <= tolerance + 1e-6);
    }
  }
}

}  // namespace

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

TEST_CASE("one layer can be shared under any mask, by dependency", "[schemes][conformance]") {
  for (const Mask mask : {Mask::causal, Mask::history_blind, Mask::target_first_causal, Mask::bidirectional}) {
    CHECK(shareable(mask, 1));
    CHECK(shareable(mask, 2) == (mask == Mask::causal || mask == Mask::history_blind));
  }
}

TEST_CASE("every form of a scheme gives the same bits", "[schemes]") {
  for (const std::int64_t length : {20, 600}) {
    Config config = small_config(length, 32, 2, 2);
    config.run.threads = 2;
    const app::Problem problem(config, 53);
    for (const SchemeEntry& entry : scheme_list()) {
      const auto scheme = problem.make(entry, 53);
      scheme->choose_form(0);
      const std::vector<float> first = run_scheme(*scheme, problem, 53);
      for (std::size_t form = 1; form < scheme->forms(); ++form) {
        scheme->choose_form(form);
        CHECK(run_scheme(*scheme, problem, 53) == first);
      }
      if (!entry.shares) {
        CHECK(scheme->forms() == 2);
        CHECK_FALSE(scheme->form_at(53).empty());
      }
    }
  }
}

TEST_CASE("threads do not change a bit of any scheme", "[schemes]") {
  std::vector<std::vector<float>> outputs;
  for (const std::int64_t threads : {1, 2, 3}) {
    Config config = small_config(65, 48, 4, 3);
    config.run.threads = threads;
    const app::Problem problem(config, 9);
    std::vector<float>& all = outputs.emplace_back();
    for (const SchemeEntry& entry : scheme_list()) {
      const std::vector<float> out = run_named(entry.name, problem, 9);
      all.insert(all.end(), out.begin(), out.end());
    }
  }
  CHECK(outputs[1] == outputs[0]);
  CHECK(outputs[2] == outputs[0]);
}

TEST_CASE("permuting candidates permutes outputs; dropping one leaves the others as they were", "[schemes][oracle]") {
  const std::int64_t dim = 32, count = 12;
  const app::Problem problem(small_config(50, dim, 2, 3), count);
  for (const SchemeEntry& entry : scheme_list()) {
    CAPTURE(entry.name);
    const std::vector<float> outputs = run_named(entry.name, problem, count);
    std::vector<float> reversed(problem.candidates().begin(), problem.candidates().end());
    for (std::int64_t i = 0; i < count; ++i) {
      std::copy_n(problem.candidates().data() + (count - 1 - i) * dim, dim, reversed.data() + i * dim);
    }
    const auto scheme = problem.make(entry, count);
    scheme->prepare(std::vector<std::int64_t>{count, count - 1});
    scheme->user_pass();
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
  const app::Problem problem(small_config(50, 32, 2, 3), 6);
  for (const SchemeEntry& entry : scheme_list()) {
    if (!entry.shares) continue;
    const auto scheme = problem.make(entry, 6);
    auto& sharing = dynamic_cast<SharingScheme&>(*scheme);
    scheme->prepare(std::vector<std::int64_t>{6});
    scheme->user_pass();
    std::vector<float> before;
    const auto snapshot = [&] {
      std::vector<float> all;
      const kernels::KvShape& shape = sharing.cache().block_shape();
      for (std::int64_t layer = 0; layer < 3; ++layer) {
        all.insert(all.end(), sharing.cache().keys(layer), sharing.cache().keys(layer) + shape.key_floats());
        all.insert(all.end(), sharing.cache().values(layer), sharing.cache().values(layer) + shape.value_floats());
      }
      return all;
    };
    before = snapshot();
    std::vector<float> outputs(6 * 32);
    scheme->candidate_pass(problem.candidates().data(), 6, outputs.data());
    CHECK(snapshot() == before);
  }
}

TEST_CASE("history-blind equals causal over the reversed history", "[schemes][oracle]") {
  const std::int64_t length = 45, dim = 32, count = 4;
  Config config = small_config(length, dim, 2, 3);
  config.model.mask = Mask::history_blind;
  const app::Problem problem(config, count);
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
  for (const SchemeEntry& entry : scheme_list()) {
    CHECK(max_difference(run_named(entry.name, problem, count), causal) < 1e-4);
  }
}

TEST_CASE("corrupting one copy of the cache changes that candidate only", "[schemes][oracle]") {
  const std::int64_t dim = 32, count = 5, layers = 2;
  const app::Problem problem(small_config(40, dim, 2, layers), count);
  const auto shared = problem.make(*find_scheme("shared"), count);
  shared->user_pass();
  KvCache copies(problem.shape(), layers, count, 40);
  copies.broadcast_from(dynamic_cast<SharingScheme&>(*shared).cache(), count, 1);
  Team team(problem.model(), 1, count);
  Forward forward(team);
  forward.prepare_candidates(count);
  const auto run = [&] {
    std::copy_n(problem.candidates().data(), count * dim, forward.stream());
    Forward::CandidateOptions options;
    options.own_cache = true;
    forward.candidates(count, copies, options);
    return std::vector<float>(forward.stream(), forward.stream() + count * dim);
  };
  const std::vector<float> clean = run();
  CHECK(clean == run_named("shared-copy", problem, count));
  copies.values(1, 3)[0] += 100.0f;
  const std::vector<float> corrupted = run();
  for (std::int64_t i = 0; i < count; ++i) {
    const bool same = std::equal(clean.begin() + i * dim, clean.begin() + (i + 1) * dim, corrupted.begin() + i * dim);
    CHECK(same == (i != 3));
  }
}

TEST_CASE("candidates beyond one row block equal those within", "[schemes]") {
  const std::int64_t dim = 8, count = 2 * kCandidateBlock + 3;
  const app::Problem problem(small_config(9, dim, 1, 2), count);
  const std::vector<float> all = run_named("shared", problem, count);
  const auto scheme = problem.make(*find_scheme("shared"), count);
  for (const std::int64_t i : {std::int64_t{0}, kCandidateBlock - 1, kCandidateBlock, count - 1}) {
    std::vector<float> one(static_cast<std::size_t>(dim));
    scheme->prepare(std::vector<std::int64_t>{1});
    scheme->user_pass();
    scheme->candidate_pass(problem.candidates().data() + i * dim, 1, one.data());
    CHECK(std::equal(one.begin(), one.end(), all.begin() + i * dim));
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
    CHECK(entry.flops(work, 10) > entry.flops(work, 1));
    CHECK(entry.kv_bytes(work, 1) > 0);
    CHECK(entry.bytes({64, 4, 4, 3, 256}, 100, 10, 2) >= entry.kv_bytes(work, 10));
  }
  CHECK(find_scheme("naive")->flops(work, 1) == Approx(find_scheme("shared")->flops(work, 1)));
  CHECK(find_scheme("shared-copy")->kv_bytes(work, 50) == 50 * find_scheme("shared")->kv_bytes(work, 50));
  CHECK(find_scheme("nothing") == nullptr);
  CHECK_FALSE(scheme_list().front().shares);
}
