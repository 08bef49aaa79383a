// Errors a user can cause. Everything else is a bug (exit 70) or a status in the data.
#pragma once

#include <stdexcept>
#include <string>

namespace kvcast {

/// A fault in what the user gave: usage, config, or a request this machine cannot serve (exit 2).
/// `what()` is one line: "<where>: <problem>; <what is allowed>".
class ConfigError : public std::runtime_error {
 public:
  /// where: file and JSON pointer, or the flag ("configs/x.json: /model/dim", "--threads").
  /// problem: what is wrong, with the offending value. hint: what is allowed; may be empty.
  ConfigError(const std::string& where, const std::string& problem, const std::string& hint)
      : std::runtime_error(where + ": " + problem + (hint.empty() ? "" : "; " + hint)) {}
};

/// A file or stream could not be read or written (exit 3).
class IoError : public std::runtime_error {
 public:
  IoError(const std::string& path, const std::string& problem) : std::runtime_error(path + ": " + problem) {}
};

/// A check on the results failed: schemes disagree, or nothing could be measured (exit 4).
class CheckError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace kvcast
