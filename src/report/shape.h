// The shape of a case: from its config, and compared.
#pragma once

#include <optional>
#include <string>

#include "kvcast/report.h"

namespace kvcast::report {

/// Shape that a config without a sweep measures.
Shape shape_of(const Config& config);

/// The other way: a config of this shape, everything else by default. What sizes and work follow from.
Config config_of(const Shape& shape);

/// Text that two shapes share when they are alike in every column; empty when it is unknown. Cases are found by it: a
/// grid has thousands.
std::string shape_key(const std::optional<Shape>& shape);
/// Whether both are known and alike in every column, or both unknown.
bool same_shape(const std::optional<Shape>& a, const std::optional<Shape>& b);

}  // namespace kvcast::report
