// A document in each of its formats, whatever it is about.
#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "catch.h"
#include "report/render/document_json.h"
#include "report/render/markdown.h"
#include "report/render/plot.h"
#include "report/render/terminal.h"
#include "report/views/cells.h"

namespace kvcast::report {
namespace {

using Catch::Contains;

std::size_t lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

Document small_document() {
  Document document{"Yes.", Emphasis::strong, {}};
  document.sections.push_back(
      {"first",
       false,
       {Table{"sizes",
              {{"name"}, number_head("bytes"), number_head("time", "of one")},
              {{{"a"}, bytes_cell(std::optional(2048.0)), seconds_cell(0.0625)}},
              "a note"},
        Text{"label", {"one item", "another"}}, Notice{Emphasis::warning, "slow", "it is slow", "make it fast", 3}}});
  document.sections.push_back({"rest", true, {Text{"more", {"of it"}}}});
  return document;
}

}  // namespace

TEST_CASE("cells carry text for people and the value with its unit", "[report][document]") {
  const Cell time = seconds_cell(0.0625);
  CHECK(time.text == "62.5 ms");
  CHECK(std::get<double>(time.value) == 0.0625);
  CHECK(time.unit == "s");
  const Estimate speedup{32.012, Interval{32.001, 32.023}};
  CHECK(factor_cell(speedup).text == "32.01x");
  CHECK(interval_cell(speedup).text == "[32.00, 32.02]");
  CHECK(std::get<Interval>(interval_cell(speedup).value).hi == 32.023);
  CHECK(share_cell(0.845, 1).text == "84.5%");
  CHECK(bytes_cell(std::optional<std::int64_t>(1 << 20)).text == "1.00 MiB");
  CHECK(amount_cell(0.5 / 86400, "1/s").text == "0.5000/day");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const Cell& cell : {seconds_cell(nan), factor_cell(std::optional<Estimate>()), count_cell(std::nullopt),
                           interval_cell(Estimate{1, std::nullopt}), share_cell(std::nullopt, 1), text_cell("")}) {
    CHECK(cell.text == "-");
    CHECK(std::holds_alternative<std::monostate>(cell.value));
  }
}

TEST_CASE("a terminal shows what answers, and with details all of it", "[report][document]") {
  const std::string brief = render_terminal(small_document(), {});
  CHECK(brief ==
        "Yes.\n\nsizes\n"
        "                 of one\n"
        "name     bytes     time\n"
        "-----------------------\n"
        "a     2.00 KiB  62.5 ms\n"
        "a note\n\n"
        "label     one item | another\n"
        "warning   it is slow [slow] (2 more like it)\n"
        "          -> make it fast\n\n"
        "--details  rest\n");
  const std::string all = render_terminal(small_document(), {false, true});
  CHECK_THAT(all, Contains("== first ==\nsizes\n"));
  CHECK_THAT(all, Contains("== rest ==\nmore      of it\n") && !Contains("--details"));
}

TEST_CASE("two notices are shown, the worst first, and the others are counted", "[report][document]") {
  Document document{"No.", Emphasis::bad, {{"", false, {}}}};
  for (const char* text : {"one", "two", "three"}) {
    document.sections[0].blocks.push_back(Notice{Emphasis::warning, text, text, ""});
  }
  document.sections[0].blocks.push_back(Notice{Emphasis::bad, "check", "it failed", ""});
  const std::string brief = render_terminal(document, {});
  CHECK_THAT(brief, Contains("warning   one [one]\n") && Contains("failed    it failed [check]\n"));
  CHECK_THAT(brief, !Contains("two") && Contains("2 more warnings"));
  const std::string all = render_terminal(document, {false, true});
  CHECK_THAT(all, Contains("two") && Contains("three") && !Contains("more warning"));
}

TEST_CASE("an answer that scrolls away is repeated last", "[report][document]") {
  Document document = small_document();
  CHECK(render_terminal(document, {false, true}).rfind("Yes.") == 0);
  for (int i = 0; i < 30; ++i) document.sections[1].blocks.push_back(Text{"more", {"of it"}});
  const std::string text = render_terminal(document, {false, true});
  CHECK(text.ends_with("\n\nYes.\n"));
  CHECK(lines(render_terminal(document, {})) <= 24);
}

TEST_CASE("a table keeps to the terminal: words are cut before numbers", "[report][document]") {
  Document document{"", Emphasis::strong, {}};
  Table table{"", {{"words"}, number_head("number")}, {{{std::string(200, 'x')}, {"123,456,789"}}}};
  document.sections.push_back({"", false, {table}});
  for (const Look& look : {Look{}, Look{false, true}}) {
    const std::string text = render_terminal(document, look);
    CHECK_THAT(text, Contains("x~") && Contains("123,456,789"));
    for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
      CHECK(text.find('\n', at) - at <= (look.details ? 100 : 80));
    }
  }
}

TEST_CASE("items break at their bars, and between words only where one is too wide", "[report][document]") {
  Document document{"", Emphasis::strong, {{"", false, {}}}};
  const std::string forty(40, 'x');
  document.sections[0].blocks.push_back(Text{"label", {forty + " y", forty + " z"}});
  document.sections[0].blocks.push_back(Text{"wide", {"a", forty + " " + forty}});
  CHECK(render_terminal(document, {}) == "label     " + forty + " y |\n          " + forty + " z\nwide      a | " +
                                             forty + "\n          " + forty + "\n");
}

TEST_CASE("colours move no column", "[report][document]") {
  Document document = small_document();
  std::get<Table>(document.sections[0].blocks[0]).rows[0][0].emphasis = Emphasis::bad;
  std::string coloured = render_terminal(document, {true, true});
  CHECK_THAT(coloured, Contains("\x1b[31ma\x1b[0m"));
  for (std::size_t at; (at = coloured.find('\x1b')) != std::string::npos;) {
    coloured.erase(at, coloured.find('m', at) + 1 - at);
  }
  CHECK(coloured == render_terminal(document, {false, true}));
}

TEST_CASE("Markdown has the answer, the notices and every section", "[report][document]") {
  CHECK(
      render_markdown(small_document(), "Title") ==
      "## Title\n\n**Yes.**\n\n> **slow**: it is slow (2 more like it) — make it fast\n>\n\n### First\n\n**sizes**\n\n"
      "| name | bytes | of one: time |\n| --- | --: | --: |\n| a | 2.00 KiB | 62.5 ms |\n\na note\n\n"
      "- label: one item; another\n\n### Rest\n\n- more: of it\n");
}

TEST_CASE("a document as JSON has every block and no value that is unknown", "[report][document]") {
  Document document = small_document();
  std::get<Table>(document.sections[0].blocks[0]).rows.push_back({text_cell("", Emphasis::bad), {}, {}});
  document.sections[1].blocks.push_back(Chart{"curve", "N", "S", {{"shared", {{1, 2}}, true}}});
  const Json json = document_json(document);
  CHECK(json["answer"] == "Yes.");
  CHECK(json["answer_level"] == "strong");
  CHECK(json["sections"][0]["title"] == "first");
  CHECK(json["sections"][0]["details"] == false);
  CHECK(json["sections"][1]["details"] == true);
  const Json& table = json["sections"][0]["blocks"][0]["table"];
  CHECK(table["heads"][2] == Json({{"name", "time"}, {"right", true}, {"group", "of one"}}));
  CHECK(table["rows"][0][2] == Json({{"text", "62.5 ms"}, {"value", 0.0625}, {"unit", "s"}}));
  CHECK(table["rows"][1][0] == Json({{"text", "-"}}));
  CHECK(table["note"] == "a note");
  CHECK(json["sections"][0]["blocks"][1]["text"]["items"][1] == "another");
  CHECK(json["sections"][0]["blocks"][2]["notice"]["count"] == 3);
  CHECK(json["sections"][1]["blocks"][1]["chart"]["series"][0]["points"] == Json::parse("[[1.0, 2.0]]"));
}

TEST_CASE("a plot has every measured point, the curve and both ends of its axes", "[report][plot]") {
  Chart chart{"speed-up", "N", "speed-up"};
  chart.series = {{"shared", {{1, 1}, {10, 5.3}, {100, 9.2}}, true},
                  {"affine", {{1, 1}, {10, 5.3}, {100, 9.2}}, false}};
  const std::string plot = plot_text(chart);
  const std::string body = plot.substr(0, plot.find("+---"));
  CHECK(std::count(body.begin(), body.end(), 'o') == 3);
  CHECK(std::count(plot.begin(), plot.end(), '.') > 30);
  CHECK_THAT(plot, Contains("9.2 +") && Contains("1.0 +") && Contains(". affine"));
  for (std::size_t at = 0; at < plot.size(); at = plot.find('\n', at) + 1) {
    const std::size_t end = plot.find('\n', at);
    CHECK(end - at <= 80);
    if (end > at) CHECK(plot[end - 1] != ' ');
  }
  // The lowest row has the first point, the highest the last.
  const std::string top = plot.substr(0, plot.find('\n', plot.find('\n') + 1));
  CHECK(top.back() == 'o');
  chart.series[0].points.pop_back();
  CHECK(plot_text(chart).empty());
}

TEST_CASE("a plot takes any points that can be read", "[report][plot]") {
  Chart chart{"", "N", "S", {{"shared", {{1, 1}, {10, 1e300}, {100, 1e-300}}, true}}};
  const auto marks = [&] {
    const std::string plot = plot_text(chart);
    const std::string body = plot.substr(0, plot.find("+---"));
    return std::count(body.begin(), body.end(), 'o') - 1;  // that of "o measured" is below
  };
  CHECK(marks() + 1 == 3);  // their ratio is no double
  for (const double last : {1.0, 0.0, -9e18}) {
    for (auto& point : chart.series[0].points) point.first = last;
    CHECK(marks() + 1 == 0);  // an axis without length
  }
}

}  // namespace kvcast::report
