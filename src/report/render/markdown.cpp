#include "report/render/markdown.h"

#include <variant>

#include "base/text.h"
#include "report/layout.h"

namespace kvcast::report {
namespace {

/// A row of a table, whatever its cells say.
std::string row_text(const std::vector<std::string>& cells) {
  std::string line = "|";
  for (const std::string& cell : cells) {
    std::string text = one_line(cell);
    // Not a backslash: one before it would take that away again.
    for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos;) text.replace(at, 1, "&#124;");
    line += " " + text + " |";
  }
  return line + "\n";
}

std::string text_of(const Table& table) {
  std::string text = table.title.empty() ? "\n" : "\n**" + one_line(table.title) + "**\n\n";
  std::vector<std::string> names, rules;
  for (const Head& head : table.heads) {
    names.push_back(head.group + (head.group.empty() || head.name.empty() ? "" : ": ") + head.name);
    rules.push_back(head.right ? "--:" : "---");
  }
  text += row_text(names) + row_text(rules);
  for (const auto& row : table.rows) {
    std::vector<std::string> cells;
    for (const Cell& cell : row) {
      const bool loud = cell.emphasis == Emphasis::bad && !cell.text.empty();
      cells.push_back(loud ? "**" + cell.text + "**" : cell.text);
    }
    text += row_text(cells);
  }
  return text + (table.note.empty() ? "" : "\n" + one_line(table.note) + "\n");
}

std::string text_of(const Text& text) {
  std::string items;
  for (const std::string& item : text.items) items += (items.empty() ? "" : "; ") + one_line(item);
  return "\n- " + (text.label.empty() ? "" : one_line(text.label) + ": ") + items + "\n";
}

std::string text_of(const Notice&) { return ""; }  // all of them stand at the top
std::string text_of(const Chart&) { return ""; }

std::string quoted(const Notice& notice) {
  std::string text = "> ";
  if (!notice.code.empty()) text += "**" + one_line(notice.code) + "**: ";
  text += one_line(notice.text);
  if (notice.count > 1) text += " (" + integer(notice.count - 1) + " more like it)";
  return text + (notice.advice.empty() ? "" : " — " + one_line(notice.advice)) + "\n>\n";
}

}  // namespace

std::string render_markdown(const Document& document, const std::string& title) {
  std::string text = "## " + title + "\n\n";
  if (!document.answer.empty()) text += "**" + one_line(document.answer) + "**\n";
  std::string notices;
  for (const Section& section : document.sections) {
    for (const Block& block : section.blocks) {
      if (const auto* notice = std::get_if<Notice>(&block)) notices += quoted(*notice);
    }
  }
  if (!notices.empty()) text += "\n" + notices;
  for (const Section& section : document.sections) {
    std::string body;
    for (const Block& block : section.blocks) {
      std::string one = std::visit([](const auto& each) { return text_of(each); }, block);
      // Items that follow each other are one list.
      if (one.starts_with("\n- ") && body.rfind("\n- ") != std::string::npos &&
          body.find('\n', body.rfind("\n- ") + 1) + 1 == body.size()) {
        one.erase(0, 1);
      }
      body += one;
    }
    if (body.empty()) continue;
    std::string heading = one_line(section.title);
    if (!heading.empty() && heading[0] >= 'a' && heading[0] <= 'z')
      heading[0] = static_cast<char>(heading[0] - 'a' + 'A');
    if (!heading.empty()) text += "\n### " + heading + "\n";
    text += body;
  }
  return inert(text);
}

}  // namespace kvcast::report
