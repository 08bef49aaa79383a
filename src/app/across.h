// Points that differ in one thing alone: which cases of two reports stand beside each other then.
#pragma once

#include <string>
#include <vector>

#include "analysis/compare.h"
#include "kvcast/report.h"

namespace kvcast::app {

/// "schemes", "shape" or a field of it, of what a person calls it ("scheme", "L", "layout"). Errors: ConfigError naming
/// what there is.
std::string across_field(const std::string& name);

/// Cases of A and B that differ in `field` alone, each with its value; for "schemes" those of the same shape. Of one
/// report (&a == &b) every two once. any_machine: threads make no difference. Errors: ConfigError where there are none,
/// which says what is alike or what else differs. both: how to call the two reports.
std::vector<analysis::CasePair> pairs_across(const Report& a, const Report& b, const std::string& field,
                                             bool any_machine, const std::string& both);

/// The one thing that all cases of two reports differ in; empty: nothing, or more than one.
std::string field_between(const Report& a, const Report& b);

}  // namespace kvcast::app
