// How the known ways to walk through the layers count for a cost surface. A scheme with another way brings its own.
#pragma once

#include <cstdint>
#include <string>

#include "kvcast/cost_model.h"

namespace kvcast {

/// How naive runs: sequences stacked in one product while they have no more than this many rows together, and its
/// candidates across the threads (each thread its own) or one product at a time by all of them.
struct NaiveForm {
  std::int64_t stack_rows = 1, threads = 1;
  bool across = false;
};
/// Every stack of sequences goes through the weights once. Across threads each thread has its own stacks, so that even
/// two candidates read the weights twice; with fewer candidates than threads all threads run them together. Beyond one
/// full stack each, walks are counted as N/stack without rounding up, as in the points that are scaled from full
/// stacks. Work grows with N but for the team layers, which end where candidates go across threads.
/// weight_bytes_per_layer: of one layer, as stored.
SchemePasses naive_passes(double weight_bytes_per_layer, const NaiveForm& form);
/// shared, shared-copy: one prefill; candidates in blocks of `block` that read the weights and the cache once
/// each. own_cache: every candidate has a copy, which is made (read and written) and then read.
SchemePasses sharing_passes(const std::string& name, double weight_bytes_per_layer, std::int64_t block,
                            bool own_cache = false);
/// packed: history and candidates together in ceil(N/micro_batch) passes; 0: one for any N.
SchemePasses packed_passes(const std::string& name, double weight_bytes_per_layer, std::int64_t micro_batch);

}  // namespace kvcast
