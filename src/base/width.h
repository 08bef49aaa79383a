// How many columns of a terminal text takes: of Chinese, Japanese and Korean a character takes two.
#pragma once

#include <cstddef>
#include <string_view>

namespace kvcast {

/// Columns of UTF-8 text on one line: 2 of a wide character (and of an emoji), 0 of marks that combine, of invisible
/// formatting characters and of controls, 1 of all others and of a byte that is no UTF-8.
std::size_t columns_of(std::string_view text);

/// As much of `text` from its front as `columns` hold: whole characters, with the marks behind the last of them.
std::string_view first_columns(std::string_view text, std::size_t columns);

}  // namespace kvcast
