// Closed sets: an enum each, and one table of its names for files, flags and screens.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kvcast {

/// `all`: pairs of a value and its name, in the order of the enum. Specialised beside each enum.
template <typename E>
struct Names;

template <typename E>
concept Named = requires {
  Names<E>::all;
};

template <Named E>
std::string to_string(E value) {
  for (const auto& [one, name] : Names<E>::all) {
    if (one == value) return std::string(name);
  }
  return "";
}

/// By its name; nullopt when there is none of it.
template <Named E>
std::optional<E> named(std::string_view name) {
  for (const auto& [one, known] : Names<E>::all) {
    if (known == name) return one;
  }
  return std::nullopt;
}

template <Named E>
std::vector<std::string> names_of() {
  std::vector<std::string> names;
  for (const auto& entry : Names<E>::all) names.emplace_back(entry.second);
  return names;
}

}  // namespace kvcast
