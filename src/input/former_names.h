// Names that earlier versions wrote, brought up to date before anything reads them.
#pragma once

#include <string>

#include "input/text/json.h"

namespace kvcast::input {

/// A column of samples.csv by its present name.
std::string current_column(const std::string& name);
/// The word of a closed set by its present name.
std::string current_word(const std::string& word);

/// Renames the members and words of a report of `kvcast.report/1`, or of an early `/2`. A member that stands beside its
/// former name wins.
void use_current_names(Json& report);

}  // namespace kvcast::input
