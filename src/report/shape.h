// The shape of a case: from its config, and compared.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kvcast/report.h"

namespace kvcast::report {

/// Shape that a config without a sweep measures.
CaseShape shape_of(const Config& config);

/// The other way: a config of this shape, everything else by default. What sizes and work follow from.
Config config_of(const CaseShape& shape);

/// Text that two shapes share when they are alike in every column; empty when it is unknown. Cases are found by it: a
/// grid has thousands.
std::string shape_key(const std::optional<CaseShape>& shape);
/// Without the columns named. Cases that differ in these at most are found by it.
std::string shape_key_without(const CaseShape& shape, const std::vector<std::string>& columns);

/// Names of the columns of a shape.
std::vector<std::string> shape_fields();
/// A field in a word or two: "bf16", "causal", "L=64", "kv_heads=2".
std::string shape_words(const CaseShape& shape, const std::string& field);
/// Fields in which two shapes differ. A cache in the type of everything else, and as many KV heads as heads, are what
/// they are because of `dtype` and `heads`, and differ from nothing.
std::vector<std::string> shape_differences(const CaseShape& a, const CaseShape& b);
/// What tells each of several lists of shapes from the others, in words: "fp32", "L=64/128, layers=2". Empty where
/// nothing does.
std::vector<std::string> shape_titles(const std::vector<std::vector<CaseShape>>& lists);

/// Whether both are known and alike in every column, or both unknown.
bool same_shape(const std::optional<CaseShape>& a, const std::optional<CaseShape>& b);

}  // namespace kvcast::report
