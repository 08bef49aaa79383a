#include "base/delimited.h"

#include <string>
#include <vector>

#include "catch.h"

namespace kvcast {
namespace {

using Cells = std::vector<std::string>;

struct Notated {
  Notation notation;
  std::string problem;
};

/// Of cells of numbers, then of cells of whole numbers.
Notated notation_of(const Cells& numbers, const Cells& whole = {}, const std::string& separator = ",") {
  NotationFinder finder;
  std::int64_t line = 2;
  for (const std::string& cell : numbers) finder.see(cell, false, line++);
  for (const std::string& cell : whole) finder.see(cell, true, line++);
  Notated found;
  found.notation = finder.find(separator, found.problem);
  return found;
}

std::string taken(const std::string& text) { return taken_for(read_heading(text), {}, read_heading(text).comments); }

}  // namespace

TEST_CASE("a heading is found by what separates it, below comments and sep= lines", "[delimited]") {
  struct Case {
    std::string text, separator;
    std::int64_t line, rows_line;
    std::string rows;  // what follows
  };
  const std::string wide = "\xef\xbc\x8c";
  const std::vector<Case> cases = {
      {"a,b,c\n1,2,3\n", ",", 1, 2, "1,2,3\n"},
      {"\xef\xbb\xbf"
       "a,b,c\r\n1,2,3\r\n",
       ",", 1, 2, "1,2,3\r\n"},
      {"a;b;c\n1;2,5;3\n", ";", 1, 2, "1;2,5;3\n"},
      {"a\tb\tc\n1\t2\t3\n", "\t", 1, 2, "1\t2\t3\n"},
      {"a|b|c\n", "|", 1, 2, ""},
      {"a" + wide + "b" + wide + "c\n1" + wide + "2" + wide + "3\n", wide, 1, 2, "1" + wide + "2" + wide + "3\n"},
      {"a" + wide + "b" + wide + "c\n1,2,3\n", ",", 1, 2, "1,2,3\n"},
      {"sep=;\na;b;c\n1;2;3\n", ";", 2, 3, "1;2;3\n"},
      {"SEP=;;;\r\na;b;c\r\n", ";", 2, 3, ""},
      {"\"sep=\t\"\na\tb\tc\n", "\t", 2, 3, ""},
      {"sep=\t\na\tb\tc\n", "\t", 2, 3, ""},
      {"# host A\n#\n\n,,,\na,b,c\n1,2,3\n", ",", 5, 6, "1,2,3\n"},
      {"# host A, run 3, cold\na,b,c\n1,2,3\n", ",", 2, 3, "1,2,3\n"},
      {"# host A\n# a,b,c\n1,2,3\n", ",", 2, 3, "1,2,3\n"},
      {"#a;b;c\n1;x;3\n", ";", 1, 2, "1;x;3\n"},
      {"# 1,2,3\na,b,c\n4,5,6\n", ",", 2, 3, "4,5,6\n"},
      {"a;\"b,x,y,z\";c\n1;2;3\n", ";", 1, 2, "1;2;3\n"},
      {"a,\"b;x\ny;z\",c\n", ",", 1, 3, ""},
  };
  for (const Case& one : cases) {
    CAPTURE(one.text);
    const Heading heading = read_heading(one.text);
    CHECK(heading.problem.empty());
    CHECK(heading.names.size() == 3);
    CHECK(heading.separator == one.separator);
    CHECK(heading.line == one.line);
    CHECK(heading.rows_line == one.rows_line);
    CHECK(one.text.substr(heading.rows_at) == one.rows);
  }
  // As many of either: what fits the row below.
  CHECK(read_heading("a (x, y);b\n1;2\n").separator == ";");
  CHECK(read_heading("a;x,b;y\n1,2\n").names == Cells{"a;x", "b;y"});
  for (const char* text : {"", "\n \n", "\xef\xbb\xbf", "# only\n# comments\n", ",,\n;;\n"}) {
    CAPTURE(text);
    CHECK(read_heading(text).names.empty());
    CHECK(read_heading(text).problem.empty());
  }
  CHECK(read_heading("sep=x\na,b\n").problem == "'sep=x' is not a known separator");
  CHECK(read_heading("\n\"a,b\n1,2\n").problem == "the quote is not closed");
  CHECK_FALSE(why_one_cell(read_heading("a b c\n1 2 3\n")).empty());
  CHECK(why_one_cell(read_heading("abc\n")).empty());
}

TEST_CASE("what was taken for granted of a file is said", "[delimited]") {
  CHECK(taken("a,b\n").empty());
  CHECK(taken("a;b\n") == "cells separated by semicolons");
  CHECK(taken("#x\na\tb\n") == "cells separated by tabs, 1 line that begins with # left out");
  CHECK(taken("a\xef\xbc\x8c"
              "b\n1,2\n") == "names of columns separated by full-width commas (U+FF0C)");
  CHECK(taken_for({}, {',', true}, 2) ==
        "numbers with a decimal comma, a point between thousands, 2 lines that begin with # left out");
  CHECK(taken_for({}, {'.', true}, 0) == "a comma between thousands");
}

TEST_CASE("the notation of numbers comes from all of them", "[delimited]") {
  struct Case {
    Cells numbers, whole;
    std::string separator;
    char decimal;
  };
  const std::vector<Case> clear = {
      {{"0.5", "1.250"}, {"1", "1000"}, ",", '.'},
      {{"0,5", "1,250"}, {"1"}, ";", ','},
      {{"0,0021"}, {}, ",", ','},
      {{"1,250"}, {}, ";", ','},       // semicolons are from where commas are decimal
      {{"1.250"}, {"5"}, ",", '.'},    // and points are as in C elsewhere
      {{"2,100E-03"}, {}, "\t", ','},  // nobody groups before an exponent
      {{"0,125"}, {}, "\t", ','},      // nor after a leading 0
      {{"1.234,5"}, {}, ",", ','},
      {{"1,234.5"}, {}, ";", '.'},
      {{"1.234.567"}, {}, ",", ','},
      {{"1,234,567"}, {}, ";", '.'},
      {{"0.5", "1,250"}, {"1,000"}, ",", '.'},
      {{"1,250"}, {"1,000"}, ",", '.'},  // whole numbers have no decimals
      {{"0.5"}, {"1.000", "10.000"}, ",", '.'},
      {{"5"}, {"1.000"}, ";", ','},
      {{"5"}, {"2.0"}, ";", '.'},
      {{"x", "1e5", "", "-", "2024-01-01 00:00:00,250", "1,2,3"}, {}, ",", '.'},
  };
  for (const Case& one : clear) {
    CAPTURE(one.numbers, one.whole, one.separator);
    const Notated found = notation_of(one.numbers, one.whole, one.separator);
    CHECK(found.problem.empty());
    CHECK(found.notation.decimal == one.decimal);
  }
  CHECK(notation_of({"0.5", "0,5"}).problem ==
        "numbers have decimal points and decimal commas: '0.5' in line 2, '0,5' in line 3");
  CHECK(notation_of({"1,234"}).problem == "'1,234' in line 2 may be 1.234 or 1234, and no other number decides it");
  CHECK_FALSE(notation_of({"1,234"}, {}, "\t").problem.empty());
  CHECK_FALSE(notation_of({"1.234"}, {}, ";").problem.empty());
  CHECK_FALSE(notation_of({"1.250"}, {"1.000"}).problem.empty());
  CHECK_FALSE(notation_of({"0,5"}, {"1,000"}, ";").problem.empty());
  CHECK_FALSE(notation_of({"5"}, {"1,000", "1.000"}).problem.empty());
}

TEST_CASE("a number in any notation is written as C does", "[delimited]") {
  const Notation point, comma{',', false};
  for (const char* same : {"1", "1.5", "-1.5e-3", "1e3", ".5", "5.", "inf", "", "x", "1 2", "1.5.2", "12,34",
                           "1,00,000", "0,123", "1234,567", "+1", "1,234x", "1_000"}) {
    CAPTURE(same);
    CHECK(plain_number(same, point) == same);
  }
  CHECK(plain_number("1,234", point) == "1234");
  CHECK(plain_number("-12,345,678.5E+2", point) == "-12345678.5E+2");
  CHECK(plain_number("1 234.5", point) == "1234.5");
  CHECK(plain_number("1\xc2\xa0"
                     "234",
                     point) == "1234");
  CHECK(plain_number("1\xe2\x80\xaf"
                     "234",
                     point) == "1234");
  CHECK(plain_number("1'234.5", point) == "1234.5");
  CHECK(plain_number("1\xe2\x80\x99"
                     "234",
                     point) == "1234");
  CHECK(plain_number("0,5", comma) == "0.5");
  CHECK(plain_number("1.234,5", comma) == "1234.5");
  CHECK(plain_number("2,10E-03", comma) == "2.10E-03");
  CHECK(plain_number("1.5", comma) == "1.5");  // no number of it
  CHECK(plain_number("1.234", comma) == "1234");
  CHECK(plain_whole_number("100.0", point) == "100");
  CHECK(plain_whole_number("100,00", comma) == "100");
  CHECK(plain_whole_number("1.5", point) == "1.5");
  CHECK(plain_whole_number("5.", point) == "5.");
  CHECK(plain_whole_number(".0", point) == ".0");
  CHECK(plain_whole_number("1,000", point) == "1000");
}

}  // namespace kvcast
