// The identity of a timing.
#pragma once

#include <compare>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

namespace kvcast {

/// Identifies a timing within a case and an N: a sample, a planned point or a pass of an engine. Files and screens show
/// text(), the only form that is written or read.
struct TimingId {
  std::string scheme;      ///< as the config names it, a micro-batch included; empty: the ranking head alone
  bool with_head = false;  ///< the ranking head runs behind it, in the same time
  bool again = false;      ///< the second of the two in a self-check
  bool alone = false;      ///< of several workers one runs it, while the others rest

  TimingId() = default;
  TimingId(std::string name, bool head, bool second) : scheme(std::move(name)), with_head(head), again(second) {}
  // A scheme's name is its timing: these convert on purpose.
  // NOLINTBEGIN(google-explicit-constructor)
  /// What text() gives, or a scheme's name.
  TimingId(std::string_view text) {
    const auto take = [&](std::string_view end) {
      const bool there = text.ends_with(end);
      if (there) text.remove_suffix(end.size());
      return there;
    };
    with_head = text == kHead || take(kWithHead);
    alone = take(kAlone);
    again = take(kAgain);
    if (text != kHead) scheme = text;
  }
  TimingId(const std::string& text) : TimingId(std::string_view(text)) {}
  TimingId(const char* text) : TimingId(std::string_view(text)) {}
  // NOLINTEND(google-explicit-constructor)

  static TimingId head() { return {"", true, false}; }

  bool head_alone() const { return scheme.empty() && with_head; }
  /// A scheme's own time: with nothing behind it, and neither for a self-check nor for the contention of workers.
  bool plain() const { return !with_head && !again && !alone; }
  /// "shared", "shared+head", "shared/again", "shared/alone", "head".
  std::string text() const {
    if (head_alone()) return std::string(kHead);
    return scheme + std::string(again ? kAgain : "") + std::string(alone ? kAlone : "") +
           std::string(with_head ? kWithHead : "");
  }

  /// By text, which is the order of every table.
  std::strong_ordering operator<=>(const TimingId& other) const { return text() <=> other.text(); }
  bool operator==(const TimingId&) const = default;

 private:
  static constexpr std::string_view kHead = "head", kWithHead = "+head", kAgain = "/again", kAlone = "/alone";
};

inline std::ostream& operator<<(std::ostream& out, const TimingId& id) { return out << id.text(); }

}  // namespace kvcast
