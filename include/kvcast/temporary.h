// Temporary files and folders, removed when a signal ends the process.
#pragma once

#include <memory>
#include <string>

namespace kvcast {

/// While the handle lives, `path` is a folder made for files yet to come.
std::shared_ptr<const void> temporary_folder(const std::string& path);

/// Removes half-written files, and temporary folders that are empty.
/// Async-signal-safe.
void remove_temporaries() noexcept;

}  // namespace kvcast
