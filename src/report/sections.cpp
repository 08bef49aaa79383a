#include "report/sections.h"

namespace kvcast::report {

std::string sections_text(const std::vector<Section>& sections) {
  std::string text;
  for (const Section& one : sections) {
    text += "\n" + emphasised(paragraph("", one.title, 0), Emphasis::strong) + one.grid.text("  ");
    if (!one.below.empty()) text += paragraph("  ", one.below, 2);
  }
  return text;
}

std::string sections_markdown(const std::vector<Section>& sections) {
  std::string text;
  for (const Section& one : sections) {
    text += "\n### " + one.title + "\n\n" + one.grid.markdown();
    if (!one.below.empty()) text += "\n" + one.below + "\n";
  }
  return text;
}

}  // namespace kvcast::report
