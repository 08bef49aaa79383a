#include "base/temporary.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catch.h"

namespace fs = std::filesystem;
using kvcast::Temporary;

TEST_CASE("what is temporary goes when the process must, and nothing else", "[base]") {
  std::string folder = (fs::temp_directory_path() / "kvcast-temporary-XXXXXX").string();
  REQUIRE(mkdtemp(folder.data()) != nullptr);
  const fs::path root = folder;
  const auto made = [&](const char* name) {
    std::ofstream(root / name) << "text";
    return (root / name).string();
  };
  fs::create_directories(root / "made" / "deep");
  std::optional<Temporary> outer(root / "made"), inner(root / "made" / "deep"), file(made("made/deep/file"));
  std::optional<Temporary> finished(made("finished")), moved(made("moved"));
  finished.reset();
  Temporary taken = std::move(*moved);
  moved.reset();
  const Temporary missing((root / "missing").string()), full(root.string());
  made("kept");
  Temporary::remove_all();
  CHECK_FALSE(fs::exists(root / "made"));
  CHECK_FALSE(fs::exists(root / "moved"));
  CHECK(fs::exists(root / "finished"));
  CHECK(fs::exists(root / "kept"));
  // More than there is room for are left alone, not mixed up.
  std::vector<Temporary> many;
  for (int i = 0; i < 1000; ++i) many.emplace_back((root / "kept-not").string());
  many.clear();
  const Temporary again(made("again"));
  Temporary::remove_all();
  CHECK_FALSE(fs::exists(root / "again"));
  fs::remove_all(root);
}
