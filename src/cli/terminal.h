// What depends on whether stdout and stderr are terminals: colour and the progress bar.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "kvcast/kvcast.h"

namespace kvcast::cli {

enum class Stream { out, err };
enum class Colour { bold, red, green, yellow };

/// Whether what goes there has colours: it is a terminal that shows them, and NO_COLOR is not set.
bool has_colour(Stream stream);
/// `text` in a colour where the stream has them, else unchanged.
std::string coloured(const std::string& text, Colour colour, Stream stream = Stream::err);

/// Progress of a long command on stderr: a bar with the time left on a terminal; elsewhere plain lines, at most one
/// per 5 s and per 10%; nothing when quiet.
class Progress {
 public:
  explicit Progress(bool quiet);
  ~Progress() { finish(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// A new stage begins ("weights").
  void stage(const std::string& name);
  /// fraction in [0,1]; eta_s: seconds left; current: what is being measured.
  void update(double fraction, double eta_s, const std::string& current);
  /// A log is being read; share: of it, where known. Shown at once on a terminal, elsewhere after two seconds.
  void reading(const std::string& file, std::optional<double> share);
  /// Receives the progress of a long command, and stops it at a signal.
  Observer observer();
  /// Takes the bar away. Nothing is shown after it.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  enum class Style { none, lines, bar };
  void draw(const std::string& line);

  Style style_;
  bool drawn_ = false;
  double line_fraction_ = -1;  // of the last plain line; negative before the first
  Clock::time_point last_{};
  Clock::time_point silent_until_{};  // before that a log that is read has no line
};

}  // namespace kvcast::cli
