// What a signal that ends the process must not leave behind.
#pragma once

#include <memory>
#include <string>

namespace kvcast {

/// While the handle lives, `path` is a folder made for what is not there yet.
std::shared_ptr<const void> temporary_folder(const std::string& path);

/// Removes the files that are half written now, and the temporary folders as far as they are empty.
/// Async-signal-safe.
void remove_temporaries() noexcept;

}  // namespace kvcast
