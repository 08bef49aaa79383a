// What needs no reader of workbooks; tests/cli/xlsx_test.py reads one.
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

#include "catch.h"
#include "fitted_models.h"
#include "fixed_report.h"
#include "kvcast/kvcast.h"
#include "report/format.h"
#include "report/render/xlsx_book.h"
#include "small_report.h"
#include "unit/files.h"

namespace kvcast::report {
namespace {

using namespace kvcast::testing;
using namespace std::string_literals;

/// TMPDIR is `value` while it lives.
class TemporaryDirectoryIs {
 public:
  explicit TemporaryDirectoryIs(const std::string& value) {
    const char* before = std::getenv("TMPDIR");
    if (before != nullptr) before_ = before;
    had_ = before != nullptr;
    ::setenv("TMPDIR", value.c_str(), 1);
  }
  ~TemporaryDirectoryIs() {
    if (had_) {
      ::setenv("TMPDIR", before_.c_str(), 1);
    } else {
      ::unsetenv("TMPDIR");
    }
  }
  TemporaryDirectoryIs(const TemporaryDirectoryIs&) = delete;
  TemporaryDirectoryIs& operator=(const TemporaryDirectoryIs&) = delete;

 private:
  std::string before_;
  bool had_ = false;
};

bool is_zip(const std::string& bytes) { return bytes.compare(0, 4, "PK\x03\x04") == 0; }

}  // namespace

TEST_CASE("a workbook is a zip, the same each time, and leaves no temporary file", "[report]") {
  const TemporaryFolder temporary;
  const TemporaryDirectoryIs here(temporary.path().string());
  const std::string bytes = render(golden::fixed_report(), "xlsx");
  CHECK(is_zip(bytes));
  CHECK(render(golden::fixed_report(), "xlsx") == bytes);
  CHECK(render(small_report(), "xlsx") != bytes);
  CHECK(names_in(temporary.path()).empty());
}

TEST_CASE("a workbook is made of any report", "[report]") {
  const double nan = std::nan(""), infinite = std::numeric_limits<double>::infinity();
  CHECK(is_zip(render(Report{}, "xlsx")));
  Report report = small_report();
  report.cases[0].shape.reset();
  report.machine.reset();
  report.config.reset();
  CHECK(is_zip(render(report, "xlsx")));

  report = golden::fixed_report();
  const std::string hostile = "=1+1\0\x01\xff_x0041_\xEF\xBF\xBF<&>\"'\n"s;
  for (Case& one : report.cases) {
    for (Point& point : one.points) {
      for (SchemePoint& row : point.schemes) {
        row.scheme = row.scheme == "shared" ? hostile : row.scheme;
        row.candidates_per_s = nan;
        row.speedup = Estimate{infinite, Interval{nan, -infinite}};
      }
    }
    for (Fit& fit : one.fits) {
      fit.verdict = std::string(100000, '=');
      fit.r = Estimate{nan, Interval{nan, infinite}};
      fit.models = {testing::law_model(nan), testing::affine_model(nan, infinite, 0)};
      fit.models[1].formula = hostile;
      fit.models[1].parameters[0].symbol = hostile;
    }
  }
  report.warnings.push_back({hostile, std::string(40000, 'x'), hostile});
  CHECK(is_zip(render(report, "xlsx")));
}

TEST_CASE("a folder for temporary files that is not there is an IoError, and the other formats are written",
          "[report]") {
  const TemporaryFolder temporary;
  const fs::path folder = temporary.path() / "out";
  const TemporaryDirectoryIs nowhere((temporary.path() / "nowhere").string());
  CHECK_THROWS_AS(render(small_report(), "xlsx"), IoError);
  CHECK_THROWS_AS(write_report(small_report(), folder.string()), IoError);
  CHECK(names_in(folder) ==
        std::set<std::string>{"report.html", "report.json", "report.md", "summary.csv", "samples.csv"});
}

TEST_CASE("cell texts are what every reader reads back", "[report]") {
  CHECK(cell_text("=SUM(A1)") == "=SUM(A1)");
  CHECK(cell_text(std::string("a\0b\nc\x1f", 6)) == "a b c ");
  CHECK(cell_text("\xff") == "\xEF\xBF\xBD");
  CHECK(cell_text("\xEF\xBF\xBE\xEF\xBF\xBF") == "\xEF\xBF\xBD\xEF\xBF\xBD");
  // A reader takes the escape for one underscore.
  CHECK(cell_text("_x0041_ _x00g1_ _x0041") == "_x005F_x0041_ _x00g1_ _x0041");
  CHECK(cell_text(std::string(40000, 'x')) == std::string(32767, 'x'));
  std::string astral;
  for (int i = 0; i < 20000; ++i) astral += "\xF0\x9F\x98\x80";
  CHECK(cell_text(astral).size() == 4 * 16383);  // two units each
}

TEST_CASE("cells have their names in A1 notation", "[report]") {
  CHECK(absolute({0, 0}) == "$A$1");
  CHECK(relative({9, 25}) == "Z10");
  CHECK(relative({0, 26}) == "AA1");
  CHECK(relative({0, 701}) == "ZZ1");
  CHECK(relative({0, 702}) == "AAA1");
}

}  // namespace kvcast::report
