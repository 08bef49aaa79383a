#include "report/render/terminal.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <variant>

#include "base/text.h"
#include "report/layout.h"
#include "report/render/plot.h"

namespace kvcast::report {
namespace {

constexpr std::size_t kNarrow = 80, kWide = 100, kScreen = 24, kNotices = 2, kMargin = 10;

// Stands for a space at which a line must not break; one_line() keeps it out of other text.
constexpr char kNoBreak = '\x01';

std::string with_spaces(std::string text) {
  std::replace(text.begin(), text.end(), kNoBreak, ' ');
  return text;
}

/// Lines of at most `room` columns, broken between words; a longer word is cut.
std::vector<std::string> wrapped(const std::string& text, std::size_t room) {
  std::vector<std::string> lines = {""};
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    std::string word = with_spaces(text.substr(at, end - at));
    at = end + 1;
    if (word.empty()) continue;
    std::string& line = lines.back();
    if (width(line) + (line.empty() ? 0 : 1) + width(word) <= room) {
      line += (line.empty() ? "" : " ") + word;
      continue;
    }
    if (!line.empty()) lines.emplace_back();
    while (width(word) > room) {
      lines.back() = prefix(word, room);
      word.erase(0, lines.back().size());
      lines.emplace_back();
    }
    lines.back() = word;
  }
  return lines;
}

/// Writes lines, of which none is wider than `room`.
class Screen {
 public:
  Screen(std::size_t room, bool colour) : room_(room), colour_(colour) {}

  void paragraph(const std::string& label, const std::string& text, std::size_t margin, Emphasis emphasis) {
    const std::vector<std::string> lines = wrapped(text, room_ - margin);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      line(painted(trimmed(padded(i == 0 ? label : "", margin, false) + lines[i]), emphasis));
    }
  }
  /// A blank line, but never two, nor one at the top.
  void gap() {
    if (!text_.empty() && !text_.ends_with("\n\n")) text_ += "\n";
  }
  void line(const std::string& painted_line) { text_ += painted_line + "\n"; }
  void table(const Table& table);

  std::string painted(const std::string& text, Emphasis emphasis) const {
    static constexpr std::array kColours = {"", "1", "31", "33", "2"};  // in the order of Emphasis
    if (!colour_ || emphasis == Emphasis::none || text.empty()) return text;
    return fmt::format("\x1b[{}m{}\x1b[0m", kColours[static_cast<std::size_t>(emphasis)], text);
  }
  std::size_t lines() const { return static_cast<std::size_t>(std::count(text_.begin(), text_.end(), '\n')); }
  const std::string& text() const { return text_; }

  static std::string trimmed(std::string line) {
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
  }

 private:
  std::size_t room_;
  bool colour_;
  std::string text_;
};

/// A table in columns as wide as their widest cell, under heads of as many lines as they need.
class Columns {
 public:
  Columns(const Table& table, std::size_t room) : table_(table) {
    // Narrower heads, then narrower gaps, where it is too wide.
    for (const auto& [head, gap] : {std::pair<std::size_t, std::size_t>{13, 2}, {9, 2}, {9, 1}}) {
      lay_out(head, gap);
      if (total() <= room) return;
    }
    // Words give way, then whatever is widest; what is cut shows a ~.
    while (total() > room && shrink(false, total() - room)) {
    }
    while (total() > room && shrink(true, total() - room)) {
    }
  }

  std::size_t total() const { return widths_.empty() ? 0 : span_of(0, widths_.size() - 1); }

  /// The line of groups; empty when there are none.
  std::string groups() const {
    std::string line;
    for (std::size_t c = 0; c < widths_.size(); c = last_of_group(c) + 1) {
      const std::size_t last = last_of_group(c);
      line += (c > 0 ? std::string(gap_, ' ') : "") +
              padded(clipped(table_.heads[c].group, span_of(c, last)), span_of(c, last), table_.heads[c].right);
    }
    return Screen::trimmed(std::move(line));
  }
  /// Lines of heads, their words at the bottom.
  std::vector<std::string> heads() const {
    std::size_t most = 0;
    for (const auto& head : heads_) most = std::max(most, head.size());
    std::vector<std::string> lines;
    for (std::size_t i = 0; i < most; ++i) {
      std::string line;
      for (std::size_t c = 0; c < widths_.size(); ++c) {
        const std::size_t above = most - heads_[c].size();
        line += (c > 0 ? std::string(gap_, ' ') : "") +
                padded(i < above ? "" : clipped(heads_[c][i - above], widths_[c]), widths_[c], table_.heads[c].right);
      }
      lines.push_back(Screen::trimmed(std::move(line)));
    }
    return lines;
  }
  std::string row(const std::vector<Cell>& cells, const Screen& screen) const {
    std::string line, spaces;
    for (std::size_t c = 0; c < widths_.size(); ++c) {
      if (c > 0) spaces += std::string(gap_, ' ');
      const std::string text = clipped(cells[c].text, widths_[c]);
      const std::string fill(widths_[c] - width(text), ' ');
      if (table_.heads[c].right) spaces += fill;
      if (!text.empty()) line += std::exchange(spaces, "") + screen.painted(text, cells[c].emphasis);
      if (!table_.heads[c].right) spaces += fill;
    }
    return line;
  }

 private:
  /// Heads on one line where they fit `head` columns or their cells, else on two, or more where words are long.
  void lay_out(std::size_t head, std::size_t gap) {
    gap_ = gap;
    heads_.clear();
    widths_.clear();
    for (std::size_t c = 0; c < table_.heads.size(); ++c) {
      std::size_t widest = 0;
      for (const auto& row : table_.rows) widest = std::max(widest, width(one_line(row[c].text)));
      const std::string name = breakable(one_line(table_.heads[c].name));
      std::size_t room = std::max({widest, longest_word(name), head});
      while (wrapped(name, room).size() > 2) ++room;
      heads_.push_back(name.empty() ? std::vector<std::string>() : wrapped(name, room));
      for (const std::string& line : heads_.back()) widest = std::max(widest, width(line));
      widths_.push_back(widest);
    }
    for (std::size_t c = 0; c < widths_.size(); c = last_of_group(c) + 1) {
      const std::size_t last = last_of_group(c), wanted = width(one_line(table_.heads[c].group));
      const std::size_t span = span_of(c, last);
      if (wanted > span) widths_[last] += wanted - span;
    }
  }
  bool words(std::size_t column) const {
    return std::none_of(table_.rows.begin(), table_.rows.end(), [&](const auto& row) {
      const Value& value = row[column].value;
      return !std::holds_alternative<std::monostate>(value) && !std::holds_alternative<std::string>(value);
    });
  }
  /// A long word may break at its hyphen: "cross-" over "validated".
  static std::string breakable(std::string name) {
    const std::size_t at = name.find('-');
    if (at != std::string::npos && longest_word(name) > 11) name.insert(at + 1, " ");
    return name;
  }
  static std::size_t longest_word(const std::string& text) {
    std::size_t longest = 0;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find(' ', at), text.size());
      longest = std::max(longest, width(text.substr(at, end - at)));
      at = end + 1;
    }
    return longest;
  }
  std::size_t last_of_group(std::size_t first) const {
    std::size_t last = first;
    const std::string& group = table_.heads[first].group;
    while (!group.empty() && last + 1 < table_.heads.size() && table_.heads[last + 1].group == group) ++last;
    return last;
  }
  std::size_t span_of(std::size_t first, std::size_t last) const {
    std::size_t span = gap_ * (last - first);
    for (std::size_t c = first; c <= last; ++c) span += widths_[c];
    return span;
  }
  /// Makes the widest column narrower, of all or of those of words; false when none can be.
  bool shrink(bool all, std::size_t by) {
    constexpr std::size_t kNarrowest = 4;
    std::size_t widest = widths_.size();
    for (std::size_t c = 0; c < widths_.size(); ++c) {
      if (!all && !words(c)) continue;
      if (widths_[c] > kNarrowest && (widest == widths_.size() || widths_[c] > widths_[widest])) widest = c;
    }
    if (widest == widths_.size()) return false;
    std::size_t next = kNarrowest;  // the widest but one
    for (std::size_t c = 0; c < widths_.size(); ++c) {
      if (c != widest && (all || words(c))) next = std::max(next, std::min(widths_[c], widths_[widest] - 1));
    }
    widths_[widest] -= std::min(by, widths_[widest] - next);
    return true;
  }

  const Table& table_;
  std::vector<std::vector<std::string>> heads_;
  std::vector<std::size_t> widths_;
  std::size_t gap_ = 2;
};

void Screen::table(const Table& table) {
  if (!table.title.empty()) paragraph("", one_line(table.title), 0, Emphasis::strong);
  const Columns columns(table, room_);
  if (const std::string groups = columns.groups(); !groups.empty()) line(painted(groups, Emphasis::strong));
  for (const std::string& head : columns.heads()) line(painted(head, Emphasis::strong));
  line(std::string(columns.total(), '-'));
  for (const auto& row : table.rows) line(columns.row(row, *this));
  if (!table.note.empty()) paragraph("", one_line(table.note), 0, Emphasis::faint);
}

/// Items with bars between them, broken at the bars alone unless an item is wider than `room`.
std::string barred(const std::vector<std::string>& items, std::size_t room) {
  std::string text;
  for (const std::string& each : items) {
    std::string item = one_line(each);
    if (items.size() > 1 && width(item) + 2 <= room) std::replace(item.begin(), item.end(), ' ', kNoBreak);
    text += (text.empty() ? "" : std::string(1, kNoBreak) + "| ") + item;
  }
  return text;
}

bool shown(const Section& section, const Look& look) { return look.details || !section.details; }

/// Notices in the order of how bad they are.
std::vector<const Notice*> notices_of(const Document& document, const Look& look) {
  std::vector<const Notice*> notices;
  for (const Section& section : document.sections) {
    if (!shown(section, look)) continue;
    for (const Block& block : section.blocks) {
      if (const auto* notice = std::get_if<Notice>(&block)) notices.push_back(notice);
    }
  }
  std::stable_sort(notices.begin(), notices.end(), [](const Notice* a, const Notice* b) {
    return a->level == Emphasis::bad && b->level != Emphasis::bad;
  });
  return notices;
}

/// What --details would show, in a line.
std::string left_out(const Document& document, std::size_t notices, std::size_t room) {
  std::vector<std::string> names;
  if (notices > 0) names.push_back(counted(static_cast<std::int64_t>(notices), "more warning"));
  for (const Section& section : document.sections) {
    if (section.details) names.push_back(one_line(section.title));
  }
  std::string text;
  for (const std::string& name : names) {
    if (width(text) + width(name) + 7 > room) return text + ", ...";
    text += (text.empty() ? "" : ", ") + name;
  }
  return text;
}

class Renderer {
 public:
  Renderer(const Document& document, const Look& look)
      : document_(document),
        look_(look),
        room_(look.details ? kWide : kNarrow),
        screen_(room_, look.colour),
        notices_(notices_of(document, look)) {
    if (!look.details && notices_.size() > kNotices) {
      hidden_ = notices_.size() - kNotices;
      notices_.resize(kNotices);
    }
  }

  std::string text() {
    answer();
    for (const Section& section : document_.sections) {
      if (!shown(section, look_)) continue;
      screen_.gap();
      // The answer is the title of what comes first.
      fresh_ = (look_.details || &section != &document_.sections.front()) && !section.title.empty();
      if (fresh_) screen_.line(screen_.painted(title(section), Emphasis::strong));
      margin_ = kMargin;
      for (const Block& block : section.blocks) {
        if (const auto* text = std::get_if<Text>(&block)) margin_ = std::max(margin_, width(text->label) + 2);
      }
      for (const Block& block : section.blocks) {
        std::visit([&](const auto& one) { show(one); }, block);
        fresh_ = false;
      }
    }
    if (const std::string more = look_.details ? "" : left_out(document_, hidden_, room_ - kMargin - 1);
        !more.empty()) {
      screen_.gap();
      screen_.paragraph("--details", more, kMargin + 1, Emphasis::faint);
    }
    if (screen_.lines() > kScreen) answer();
    return screen_.text();
  }

 private:
  void answer() {
    if (document_.answer.empty()) return;
    screen_.gap();
    screen_.paragraph("", one_line(document_.answer), 0, document_.answer_level);
  }
  std::string title(const Section& section) const { return "== " + clipped(section.title, room_ - 6) + " =="; }

  void show(const Table& table) {
    if (!fresh_) screen_.gap();
    screen_.table(table);
    screen_.gap();
  }
  void show(const Text& text) {
    screen_.paragraph(one_line(text.label), barred(text.items, room_ - margin_), margin_, text.emphasis);
  }
  void show(const Notice& notice) {
    if (std::find(notices_.begin(), notices_.end(), &notice) == notices_.end()) return;
    std::string text = one_line(notice.text);
    if (!notice.code.empty()) text += " [" + one_line(notice.code) + "]";
    if (notice.count > 1) text += " (" + integer(notice.count - 1) + " more like it)";
    screen_.paragraph(notice.level == Emphasis::bad ? "failed" : "warning", text, margin_, notice.level);
    if (!notice.advice.empty()) screen_.paragraph("", "-> " + one_line(notice.advice), margin_, Emphasis::none);
  }
  void show(const Chart& chart) {
    if (!look_.details) return;
    const std::string plot = plot_text(chart);
    if (plot.empty()) return;
    screen_.gap();
    screen_.line(plot);
  }

  const Document& document_;
  const Look& look_;
  std::size_t room_;
  Screen screen_;
  std::vector<const Notice*> notices_;  // that are shown
  std::size_t hidden_ = 0, margin_ = kMargin;
  bool fresh_ = false;  // a section's title is the last line
};

}  // namespace

std::string render_terminal(const Document& document, const Look& look) { return Renderer(document, look).text(); }

}  // namespace kvcast::report
