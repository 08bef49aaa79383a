// What must hold for every input, whoever reads it.
#pragma once

#include <cstddef>
#include <limits>
#include <stdexcept>
#include <string>

#include "base/text.h"
#include "kvcast/error.h"

namespace kvcast::fuzz {

inline void require(bool holds, const std::string& property) {
  if (!holds) throw std::logic_error("broken: " + property);
}

/// Whether `read` takes its input. It may refuse it by the errors of kvcast/error.h, in one printable line; any other
/// exception is a finding and escapes.
template <typename Read>
bool accepted(const Read& read) {
  const auto check = [](const std::string& message) {
    require(printable(message, std::numeric_limits<std::size_t>::max()) == message,
            "a message is one line of text: " + printable(message, 1000));
  };
  try {
    read();
    return true;
  } catch (const ConfigError& error) {
    check(error.what());
  } catch (const IoError& error) {
    check(error.what());
  }
  return false;
}

}  // namespace kvcast::fuzz
