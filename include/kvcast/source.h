// Where a number comes from.
#pragma once

#include <string_view>
#include <utility>

#include "kvcast/names.h"

namespace kvcast {

/// measured: timed. fitted: by a model, within its data. interpolated: between timings that no model describes.
/// extrapolated: by a model, beyond its data. computed: from the shape, exactly. assumed: given by the user or the
/// design note.
enum class Source { unknown, measured, fitted, interpolated, extrapolated, computed, assumed };
template <>
struct Names<Source> {
  static constexpr std::pair<Source, std::string_view> all[] = {{Source::unknown, ""},
                                                                {Source::measured, "measured"},
                                                                {Source::fitted, "fitted"},
                                                                {Source::interpolated, "interpolated"},
                                                                {Source::extrapolated, "extrapolated"},
                                                                {Source::computed, "computed"},
                                                                {Source::assumed, "assumed"}};
};

}  // namespace kvcast
