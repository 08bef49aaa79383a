// Every format in the list against its approved file.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "catch.h"
#include "fixed_report.h"
#include "kvcast/kvcast.h"

namespace {

std::string approved_path(const std::string& format) {
  return std::string(KVCAST_SOURCE_DIR) + "/tests/golden/approved/fixed." + format + ".txt";
}

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The first line in which the two texts differ, with both versions.
std::string first_difference(const std::string& approved, const std::string& rendered) {
  const auto [a, b] = std::mismatch(approved.begin(), approved.end(), rendered.begin(), rendered.end());
  const auto at = static_cast<std::size_t>(a - approved.begin());
  const std::size_t newline = at == 0 ? std::string::npos : approved.rfind('\n', at - 1);
  const std::size_t start = newline == std::string::npos ? 0 : newline + 1;
  const auto line = [start](const std::string& text) { return text.substr(start, text.find('\n', start) - start); };
  return "line " + std::to_string(1 + std::count(approved.begin(), a, '\n')) + "\n  approved: " + line(approved) +
         "\n  rendered: " + line(rendered);
}

}  // namespace

TEST_CASE("every format renders the fixed report as approved", "[golden]") {
  const char* update = std::getenv("KVCAST_UPDATE_GOLDEN");
  for (const auto& format : kvcast::formats()) {
    const std::string rendered = kvcast::render(kvcast::golden::fixed_report(), format.name);
    const std::string path = approved_path(format.name);
    if (update && std::string(update) == "1") {
      std::ofstream(path, std::ios::binary) << rendered;
      continue;
    }
    const std::string approved = contents(path);
    if (approved == rendered) continue;
    FAIL_CHECK(path << " is not what '" << format.name << "' renders, from " << first_difference(approved, rendered)
                    << "\nIf the change is meant, rewrite the approved files with KVCAST_UPDATE_GOLDEN=1 in the "
                       "environment of this test, and read the diff before you commit it.");
  }
}
