// Points that differ in one thing alone: which cases of two reports stand beside each other then.
#pragma once

#include <string>
#include <vector>

#include "analysis/compare.h"
#include "kvcast/report.h"

namespace kvcast::app {

/// "schemes", "shape" or a field of it, from a common name for it ("scheme", "L", "layout"). Errors: ConfigError
/// listing the fields.
std::string across_field(const std::string& name);

/// Cases of A and B that differ in `field` alone, each with its value; for "schemes" those of the same shape. Within
/// one report (&a == &b), every pair once. any_machine: threads may differ. Errors: ConfigError without any pair,
/// naming what is equal or what else differs. both: the name of the two reports in messages.
std::vector<analysis::CasePair> pairs_across(const Report& a, const Report& b, const std::string& field,
                                             bool any_machine, const std::string& both);

/// The one field in which all cases of two reports differ; empty: none, or several.
std::string field_between(const Report& a, const Report& b);

}  // namespace kvcast::app
