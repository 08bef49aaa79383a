// What is said of a run, a sizing, a simulation, a comparison or a proof: made once by a view, shown by every format.
#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "report/columns.h"

namespace kvcast::report {

/// How a part stands out.
enum class Emphasis { none, strong, bad, warning, faint };

/// One figure or word.
struct Cell {
  std::string text;       ///< for people, with its unit: "9.56x", "62.5 ms", "-" when unknown
  Value value = {};       ///< the same for spreadsheets; unknown: `text` is all there is
  std::string unit = {};  ///< of `value`, as columns have it: "s", "bytes", "ratio", "0..1"
  Emphasis emphasis = Emphasis::none;
};

/// Head of a column. `group` stands above neighbours that share it.
struct Head {
  std::string name;
  bool right = false;  ///< numbers
  std::string group = {};
};

struct Table {
  std::string title;  ///< empty: none
  std::vector<Head> heads;
  std::vector<std::vector<Cell>> rows;  ///< a cell per head
  std::string note = {};                ///< needed to read it
};

/// A label and a sentence, or short items that belong together.
struct Text {
  std::string label;
  std::vector<std::string> items;
  Emphasis emphasis = Emphasis::none;
};

/// A warning, or what failed. `count`: shapes that it holds for.
struct Notice {
  Emphasis level = Emphasis::warning;
  std::string code, text, advice;
  std::int64_t count = 1;
};

/// Curves over N. Formats that cannot draw leave them out.
struct Chart {
  struct Series {
    std::string name;
    std::vector<std::pair<double, double>> points;  ///< x, y
    bool measured = true;                           ///< marks; else a line by a model
  };
  std::string title, x, y;
  std::vector<Series> series = {};
  bool log_x = true, log_y = true;
};

using Block = std::variant<Table, Text, Notice, Chart>;

struct Section {
  std::string title;
  bool details = false;  ///< a terminal shows it with --details only
  std::vector<Block> blocks;
};

struct Document {
  std::string answer;                        ///< one sentence, first in every format; empty: none
  Emphasis answer_level = Emphasis::strong;  ///< bad: a check failed, or no figure can be used
  std::vector<Section> sections = {};
};

}  // namespace kvcast::report
