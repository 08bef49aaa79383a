#include "engine/builtin/model/partition.h"

#include "catch.h"

using namespace kvcast;

TEST_CASE("FFN blocks cover the rows in nearly equal parts", "[model]") {
  for (std::int64_t rows = 1; rows < 3000; ++rows) {
    const RowBlocks blocks = ffn_blocks(rows);
    REQUIRE(blocks.size <= 384);
    REQUIRE(blocks.last >= 1);
    REQUIRE(blocks.last <= blocks.size);
    REQUIRE((rows - blocks.last) % blocks.size == 0);
    // No sliver: a last block is never below half of the others.
    REQUIRE(2 * blocks.last >= blocks.size);
  }
  CHECK(ffn_blocks(0).size == 0);
}

TEST_CASE("threads share rows in order, nearly equally, and all of them", "[model]") {
  for (const int threads : {1, 2, 3, 8}) {
    for (const std::int64_t rows : {0, 1, 2, 7, 8, 100, 1023}) {
      CAPTURE(threads, rows);
      std::int64_t next = 0;
      for (int thread = 0; thread < threads; ++thread) {
        const RowShare share = share_of(rows, threads, thread);
        CHECK(share.first == next);
        CHECK((share.count == rows / threads || share.count == rows / threads + 1));
        next += share.count;
      }
      CHECK(next == rows);
    }
  }
}
