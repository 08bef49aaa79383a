#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "catch.h"
#include "kvcast/kvcast.h"
#include "small_report.h"
#include "unit/files.h"

namespace kvcast::report {
namespace {

using Catch::Contains;

using namespace kvcast::testing;

}  // namespace

TEST_CASE("write_report makes the folder and writes every format that has a file", "[report]") {
  const TemporaryFolder temporary;
  const fs::path folder = temporary.path() / "a" / "b";
  const Report report = small_report();
  const auto paths = write_report(report, folder.string());

  std::set<std::string> wanted;
  std::size_t next = 0;
  for (const auto& format : formats()) {
    if (format.file.empty()) continue;
    wanted.insert(format.file);
    REQUIRE(next < paths.size());
    CHECK(paths[next] == (folder / format.file).string());
    CHECK(contents(paths[next++]) == render(report, format.name));
  }
  CHECK(next == paths.size());
  CHECK(wanted ==
        std::set<std::string>{"report.html", "report.json", "report.md", "report.xlsx", "summary.csv", "samples.csv"});
  CHECK(names_in(folder) == wanted);  // no temporary file stays
}

TEST_CASE("write_report replaces what an earlier or broken run left", "[report]") {
  const TemporaryFolder temporary;
  std::ofstream(temporary.path() / "report.json") << std::string(100000, 'x');
  std::ofstream(temporary.path() / ".report.json.tmp") << std::string(100000, 'y');
  write_report(small_report(), temporary.path().string());
  CHECK(contents(temporary.path() / "report.json") == render(small_report(), "json"));
  CHECK(names_in(temporary.path()) ==
        std::set<std::string>{"report.html", "report.json", "report.md", "report.xlsx", "summary.csv", "samples.csv"});
}

TEST_CASE("write_report names the path that cannot be a folder", "[report]") {
  const TemporaryFolder temporary;
  const fs::path file = temporary.path() / "file";
  std::ofstream(file) << "mine";
  for (const fs::path& folder : {file, file / "below", fs::path("/dev/null/x")}) {
    CHECK_THROWS_AS(write_report(small_report(), folder.string()), IoError);
    CHECK_THROWS_WITH(write_report(small_report(), folder.string()),
                      Contains(folder.string()) && Contains("Not a directory"));
  }
  CHECK_THROWS_AS(write_report(small_report(), ""), IoError);
  CHECK(contents(file) == "mine");
}

TEST_CASE("write_report leaves no temporary file when a rename fails", "[report]") {
  const TemporaryFolder temporary;
  fs::create_directory(temporary.path() / "samples.csv");
  CHECK_THROWS_WITH(write_report(small_report(), temporary.path().string()),
                    Contains("samples.csv") && Contains("Is a directory"));
  for (const auto& name : names_in(temporary.path())) CHECK(name.front() != '.');
}

TEST_CASE("write_report leaves the earlier files whole when the disk is full", "[report]") {
  const TemporaryFolder temporary;
  std::ofstream(temporary.path() / "report.json") << "earlier";
  std::string message;
  {
    const FileSizeLimit limit(16);
    try {
      write_report(small_report(), temporary.path().string());
    } catch (const IoError& error) {
      message = error.what();
    }
  }
  CHECK_THAT(message, Contains(temporary.path().string()) && Contains("File too large"));
  CHECK(names_in(temporary.path()) == std::set<std::string>{"report.json"});
  CHECK(contents(temporary.path() / "report.json") == "earlier");
}

}  // namespace kvcast::report
