// Throughput that a ranking head loses to the sequence model before it.
#pragma once

#include <string>
#include <vector>

#include "analysis/composition.h"
#include "kvcast/report.h"

namespace kvcast::analysis {

/// A row per N and entry of `schemes`, by N, then in that order, where the head was timed behind the scheme in a round
/// that has the head alone too. Per round drop = 1 - t_head/t_with; its value and 95% interval are those of
/// ratio_of_run of t_with/t_head over the clean pairs of rounds (pair_rounds), carried over. A drop below 0 is noise:
/// the head alone was the slower one. head_s, with_s: medians over all rounds, for all N candidates. status: of the
/// timing with the scheme; scaled when any of its rows is.
///
/// Of other schemes than naive also what follows from naive's drop and the measured speed-up of the scheme without the
/// head, both at this N: drop_design_note and drop_exact (cost_model.h); nullopt where one of the two is unknown.
/// history_length and layers are left to the caller. Does not depend on the order of the samples.
std::vector<Degradation> degradation(const TimingTable& table, const std::vector<std::string>& schemes);

}  // namespace kvcast::analysis
