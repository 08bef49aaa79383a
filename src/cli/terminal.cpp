#include "terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <string_view>

#include "common.h"
#include "kvcast/words.h"

namespace kvcast::cli {
namespace {

constexpr std::size_t kBarWidth = 24;
constexpr std::size_t kLineWidth = 79;
constexpr auto kRedrawInterval = std::chrono::milliseconds(100);
constexpr auto kLineInterval = std::chrono::seconds(5);
constexpr auto kSilentReading = std::chrono::seconds(2);
constexpr double kLineStep = 0.1;

bool is_terminal(Stream stream) {
  const char* term = std::getenv("TERM");
  return ::isatty(stream == Stream::out ? STDOUT_FILENO : STDERR_FILENO) == 1 &&
         (term == nullptr || std::string_view(term) != "dumb");
}

std::string time_left(double eta_s) {
  if (!std::isfinite(eta_s) || eta_s < 0) return "?";
  const auto seconds = static_cast<long>(std::min(std::ceil(eta_s), 359999.0));
  if (seconds < 60) return fmt::format("{}s", seconds);
  return seconds < 3600 ? fmt::format("{}m{:02}s", seconds / 60, seconds % 60)
                        : fmt::format("{}h{:02}m", seconds / 3600, seconds / 60 % 60);
}

}  // namespace

bool has_colour(Stream stream) {
  // https://no-color.org: set and not empty.
  const char* no_color = std::getenv("NO_COLOR");
  return is_terminal(stream) && (no_color == nullptr || *no_color == '\0');
}

std::string coloured(const std::string& text, Colour colour, Stream stream) {
  if (!has_colour(stream)) return text;
  constexpr std::array<int, 4> kCodes = {1, 31, 32, 33};
  return fmt::format("\x1b[{}m{}\x1b[0m", kCodes[static_cast<std::size_t>(colour)], text);
}

Progress::Progress(bool quiet) : style_(quiet ? Style::none : is_terminal(Stream::err) ? Style::bar : Style::lines) {}

void Progress::draw(const std::string& line) {
  write_stderr("\r\x1b[K" + line);
  drawn_ = true;
}

void Progress::stage(const std::string& name) {
  if (style_ == Style::bar) draw(name + " ...");
  if (style_ == Style::lines) write_stderr(name + " ...\n");
  last_ = {};
}

void Progress::update(double fraction, double eta_s, const std::string& current) {
  if (style_ == Style::none) return;
  const Clock::time_point now = Clock::now();
  const double part = std::isfinite(fraction) ? std::clamp(fraction, 0.0, 1.0) : 0.0;
  const auto percent = static_cast<int>(100 * part);
  if (style_ == Style::lines) {
    const bool first = line_fraction_ < 0;
    if (!first && (now - last_ < kLineInterval || part < line_fraction_ + kLineStep)) return;
    write_stderr(fmt::format("measuring {:3}%, {} left, {}\n", percent, time_left(eta_s), current));
    line_fraction_ = part;
    last_ = now;
    return;
  }
  if (now - last_ < kRedrawInterval) return;
  last_ = now;
  const auto filled = static_cast<std::size_t>(part * static_cast<double>(kBarWidth));
  const std::string tail = fmt::format(" {:3}%  {} left  {}", percent, time_left(eta_s), current);
  draw("[" + coloured(std::string(filled, '#'), Colour::green) + std::string(kBarWidth - filled, '.') + "]" +
       tail.substr(0, kLineWidth - kBarWidth - 2));
}

void Progress::reading(const std::string& file, std::optional<double> share) {
  if (style_ == Style::none) return;
  const Clock::time_point now = Clock::now();
  if (silent_until_ == Clock::time_point()) silent_until_ = now + kSilentReading;
  const bool lines = style_ == Style::lines;
  if ((lines && now < silent_until_) || now - last_ < (lines ? Clock::duration(kLineInterval) : kRedrawInterval))
    return;
  last_ = now;
  std::string text = "reading " + one_line(file);
  if (share) text += fmt::format(" {:3}%", static_cast<int>(100 * *share));
  if (lines) {
    write_stderr(text + "\n");
  } else {
    draw(text.substr(0, kLineWidth));
  }
}

Observer Progress::observer() {
  Observer observer;
  observer.on_stage = [this](const std::string& name) { stage(name); };
  observer.on_progress = [this](double fraction, double eta_s, const std::string& current) {
    update(fraction, eta_s, current);
  };
  observer.on_read = [this](const std::string& file, std::optional<double> share) { reading(file, share); };
  observer.stop_requested = [] { return pending_signal() != 0; };
  return observer;
}

void Progress::finish() {
  if (style_ == Style::bar && drawn_) write_stderr("\r\x1b[K");
  style_ = Style::none;
}

}  // namespace kvcast::cli
