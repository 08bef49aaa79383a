// Every input that is kept, once more: seeds, what widened the coverage, and whatever was found.
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "catch.h"
#include "fuzz/target.h"

namespace kvcast::fuzz {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(KVCAST_SOURCE_DIR) / "tests/fuzz";

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string finding(const Target& target, const std::string& input) {
  try {
    target.run(input);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("the corpus of every fuzz target is read without a finding", "[fuzz]") {
  for (const Target& target : targets()) {
    const fs::path folder = kFolder / "corpus" / target.name;
    CAPTURE(folder.string());
    REQUIRE(fs::is_directory(folder));
    REQUIRE_FALSE(fs::is_empty(folder));
    for (const auto& entry : fs::directory_iterator(folder)) {
      CAPTURE(entry.path().filename().string());
      CHECK(finding(target, bytes_of(entry.path())) == "");
    }
  }
}

TEST_CASE("every file of a fuzz target and every corpus belongs to the list", "[fuzz]") {
  std::set<std::string> listed, files, corpora;
  for (const Target& target : targets()) listed.insert(target.name);
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    const std::string name = entry.path().stem().string(), suffix = "_fuzz";
    if (name.ends_with(suffix)) files.insert(name.substr(0, name.size() - suffix.size()));
  }
  for (const auto& entry : fs::directory_iterator(kFolder / "corpus")) corpora.insert(entry.path().filename().string());
  CHECK(files == listed);
  CHECK(corpora == listed);
}

}  // namespace kvcast::fuzz
