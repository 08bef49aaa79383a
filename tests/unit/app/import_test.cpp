#include <string>
#include <vector>

#include "engine/builtin/model/safetensors.h"
#include "engine/builtin/model/weights.h"
#include "kvcast/kvcast.h"
#include "unit/engine/builtin/model/stored_file.h"

namespace kvcast {
namespace {

using testing::TemporaryFile;

// A model of width 1 with this config in its metadata.
void write_model(const std::string& path, const std::string& config) {
  ModelShape shape;
  shape.dim = shape.heads = shape.kv_heads = shape.layers = shape.ffn_dim = 1;
  std::vector<StoredTensor> tensors;
  for (const Tensor tensor : kTensors) {
    const TensorSize size = tensor_size(shape, tensor);
    std::vector<std::int64_t> sizes = {size.rows};
    if (size.columns > 0) sizes.push_back(size.columns);
    const std::vector<float> values(static_cast<std::size_t>(size.elements()), 0.5f);
    tensors.push_back({"layers.0." + tensor_name(tensor), sizes, [values] { return values; }, {}});
  }
  write_safetensors(path, {{"kvcast.config", config}}, tensors);
}

std::string fault_of(const TemporaryFile& file) {
  return testing::fault(file.path(), [&] { imported_config(file.path()); });
}

}  // namespace

TEST_CASE("a config in a file of weights is read as warily as any other", "[app][import]") {
  const TemporaryFile file;
  write_model(file.path(), R"({"model": {"dim": 1, "heads": 1}, "run": {"seed": 3, "threads": 9}})");
  const Config config = parse_config(imported_config(file.path()), "imported", {}, {2, 0});
  CHECK(config.model.dim == 1);
  CHECK(config.run.seed == 3);
  CHECK(config.run.threads == 2);

  // Deeper than any stack when it is written out.
  const std::size_t depth = 200'000;
  write_model(file.path(), "{\"model\": {\"dim\": " + std::string(depth, '[') + std::string(depth, ']') + "}}");
  CHECK(fault_of(file) == "metadata kvcast.config: nested deeper than 64 levels; kvcast's own files are flat");
  write_model(file.path(), R"({"model": {"dim": 1, "dim": 2}})");
  CHECK(fault_of(file) == "metadata kvcast.config: /model/dim: the key appears twice; keep one of them");
  write_model(file.path(), R"({"model": )");
  CHECK(fault_of(file).starts_with("metadata kvcast.config: column 11: "));
  write_model(file.path(), R"({"model": 1})");
  CHECK(fault_of(file) == "metadata kvcast.config is not a config; it must be a config in JSON");
}

TEST_CASE("a file of weights whose name no report can hold is refused", "[app][import]") {
  CHECK_THROWS_WITH(imported_config("b\xff.safetensors"),
                    Catch::StartsWith("--import: ") && Catch::Contains(" is not UTF-8; "));
}

}  // namespace kvcast
