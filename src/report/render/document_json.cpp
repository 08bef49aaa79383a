#include "report/render/document_json.h"

#include <cmath>
#include <variant>

#include "report/json.h"
#include "report/text.h"

namespace kvcast::report {
namespace {

const char* name_of(Emphasis emphasis) {
  switch (emphasis) {
    case Emphasis::none:
      return "none";
    case Emphasis::strong:
      return "strong";
    case Emphasis::bad:
      return "bad";
    case Emphasis::warning:
      return "warning";
    case Emphasis::faint:
      return "faint";
  }
  return "none";
}

void put_emphasis(Json& object, Emphasis emphasis) {
  if (emphasis != Emphasis::none) object["emphasis"] = name_of(emphasis);
}

Json json_number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json cell_json(const Cell& cell) {
  Json result = {{"text", valid_utf8(cell.text)}};
  if (!std::holds_alternative<std::monostate>(cell.value)) result["value"] = to_json(cell.value);
  if (!cell.unit.empty()) result["unit"] = valid_utf8(cell.unit);
  put_emphasis(result, cell.emphasis);
  return result;
}

Json block_json(const Table& table) {
  Json heads = Json::array(), rows = Json::array();
  for (const Head& head : table.heads) {
    heads.push_back({{"name", valid_utf8(head.name)}, {"right", head.right}, {"group", valid_utf8(head.group)}});
  }
  for (const auto& row : table.rows) {
    Json& cells = rows.emplace_back(Json::array());
    for (const Cell& cell : row) cells.push_back(cell_json(cell));
  }
  return {{"table",
           {{"title", valid_utf8(table.title)},
            {"heads", std::move(heads)},
            {"rows", std::move(rows)},
            {"note", valid_utf8(table.note)}}}};
}

Json block_json(const Text& text) {
  Json items = Json::array();
  for (const std::string& item : text.items) items.push_back(valid_utf8(item));
  Json result = {{"label", valid_utf8(text.label)}, {"items", std::move(items)}};
  put_emphasis(result, text.emphasis);
  return {{"text", std::move(result)}};
}

Json block_json(const Notice& notice) {
  return {{"notice",
           {{"level", name_of(notice.level)},
            {"code", valid_utf8(notice.code)},
            {"text", valid_utf8(notice.text)},
            {"advice", valid_utf8(notice.advice)},
            {"count", notice.count}}}};
}

Json block_json(const Chart& chart) {
  Json series = Json::array();
  for (const Chart::Series& one : chart.series) {
    Json points = Json::array();
    for (const auto& [x, y] : one.points) points.push_back(Json::array({json_number(x), json_number(y)}));
    series.push_back({{"name", valid_utf8(one.name)}, {"points", std::move(points)}, {"measured", one.measured}});
  }
  return {{"chart",
           {{"title", valid_utf8(chart.title)},
            {"x", valid_utf8(chart.x)},
            {"y", valid_utf8(chart.y)},
            {"log_x", chart.log_x},
            {"log_y", chart.log_y},
            {"series", std::move(series)}}}};
}

}  // namespace

Json document_json(const Document& document) {
  Json sections = Json::array();
  for (const Section& section : document.sections) {
    Json blocks = Json::array();
    for (const Block& block : section.blocks) {
      blocks.push_back(std::visit([](const auto& one) { return block_json(one); }, block));
    }
    sections.push_back(
        {{"title", valid_utf8(section.title)}, {"details", section.details}, {"blocks", std::move(blocks)}});
  }
  return {{"answer", valid_utf8(document.answer)},
          {"answer_level", name_of(document.answer_level)},
          {"sections", std::move(sections)}};
}

}  // namespace kvcast::report
