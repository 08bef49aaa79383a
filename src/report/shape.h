// The shape of a case: from its config, and compared.
#pragma once

#include <optional>

#include "kvcast/report.h"

namespace kvcast::report {

/// Shape that a config without a sweep measures.
Shape shape_of(const Config& config);

/// The other way: a config of this shape, everything else by default. What sizes and work follow from.
Config config_of(const Shape& shape);

/// Whether both are known and alike in every column, or both unknown.
bool same_shape(const std::optional<Shape>& a, const std::optional<Shape>& b);

}  // namespace kvcast::report
