// A/A: the same scheme timed under two names must not differ.
#pragma once

#include <string>
#include <vector>

#include "analysis/composition.h"
#include "kvcast/report.h"

namespace kvcast::analysis {

/// For everything that `samples` also have as the second of a self-check: the ratio of the two times, second over
/// first, of all N together and of each N; by scheme, all N first. The ratio of all N is the mean over the N of a
/// round's log ratios, so that one round is one value. `simultaneous` is the 95% interval of all rows together
/// (Bonferroni), by which contains_one is judged: of ten 95% intervals four in ten runs would have one beside 1.
/// Empty without such samples. Does not depend on the order of the samples.
std::vector<SelfCheck> self_check(const TimingTable& table);

}  // namespace kvcast::analysis
