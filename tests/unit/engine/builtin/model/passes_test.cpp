#include "engine/builtin/model/passes.h"

#include "../schemes/harness.h"

using namespace kvcast;
using namespace kvcast::testing;

TEST_CASE("the rows that a layer lets go on are those of the next one", "[model]") {
  ModelShape shape = plain_shape(8, 1, 4);
  for (const std::int64_t query_tokens : {0, 3}) {
    for (const std::int64_t from : {0, 2}) {
      for (const bool trim : {false, true}) {
        CAPTURE(query_tokens, from, trim);
        shape.query_tokens = query_tokens;
        shape.candidate_from_layer = from;
        const SequenceBatch batch{3, 10, 10, true, trim};
        const HistoryPass pass{10, 4, true, trim};
        CandidatePass candidates;
        candidates.count = 5;
        for (std::int64_t i = 0; i + 1 < shape.layers; ++i) {
          // The candidate of each sequence joins where it first takes part.
          const std::int64_t entering = from > 0 && i + 1 == from ? 1 : 0;
          CHECK(layer_work(shape, batch, i).kept_rows() + 3 * entering == layer_work(shape, batch, i + 1).rows());
          CHECK(layer_work(shape, pass, i).kept == layer_work(shape, pass, i + 1).tokens);
          CHECK(layer_work(shape, pass, candidates, i).kept_rows() + 5 * entering ==
                layer_work(shape, pass, candidates, i + 1).rows());
        }
        CHECK(layer_work(shape, batch, 3).kept == (trim ? 1 : layer_work(shape, batch, 3).tokens));
        CHECK(layer_work(shape, pass, 3).kept == (trim ? 0 : layer_work(shape, pass, 3).tokens));
      }
    }
  }
}

TEST_CASE("an append runs its own rows, or the window of query tokens that has moved", "[model]") {
  ModelShape shape = plain_shape(8, 1, 2);
  const LayerWork plain = layer_work(shape, HistoryPass{10, 2, true, true}, 0);
  CHECK(plain.tokens == 2);
  CHECK(plain.known == 0);
  CHECK(plain.cached == 8);
  shape.query_tokens = 5;
  const LayerWork window = layer_work(shape, HistoryPass{10, 2, true, true}, 0);
  CHECK(window.tokens == 5);
  CHECK(window.known == 3);
  CHECK(window.keys() == 10);
}
