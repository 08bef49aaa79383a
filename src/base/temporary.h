// What must not stay behind when a signal ends the process: files half written, folders made for what is not there yet.
#pragma once

#include <string>

namespace kvcast {

/// `path` is temporary for as long as this lives. Forgets it then, and removes nothing. Thread-safe.
class Temporary {
 public:
  explicit Temporary(const std::string& path);
  ~Temporary();
  Temporary(Temporary&& other) noexcept;
  Temporary& operator=(Temporary&& other) noexcept;

  /// Removes every file and every empty folder that is temporary now. Async-signal-safe.
  static void remove_all() noexcept;

 private:
  char* path_;  ///< null: moved from, or there were too many
};

}  // namespace kvcast
