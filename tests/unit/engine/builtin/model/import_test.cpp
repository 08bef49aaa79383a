#include "engine/builtin/model/import.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "stored_file.h"

using namespace kvcast;
using namespace kvcast::testing;

namespace {

using Tensors = std::vector<StoredTensor>;

constexpr std::int64_t kHistoryLength = 5, kCandidateCount = 3;

ModelShape shape_of(std::int64_t dim, std::int64_t heads, std::int64_t kv_heads, std::int64_t layers,
                    std::int64_t ffn_dim) {
  ModelShape shape;
  shape.dim = dim;
  shape.heads = heads;
  shape.kv_heads = kv_heads;
  shape.layers = layers;
  shape.ffn_dim = ffn_dim;
  return shape;
}

// A model whose sizes differ from one another: kv_dim 4.
const ModelShape kSmall = shape_of(8, 4, 2, 3, 20);

StoredTensor tensor_of(const std::string& name, const std::vector<std::int64_t>& shape) {
  std::int64_t elements = 1;
  for (const std::int64_t n : shape) elements *= n;
  return {name, shape, [elements] { return std::vector<float>(static_cast<std::size_t>(elements), 0.5f); }, {}};
}

Tensors weights_of(const ModelShape& shape) {
  Tensors tensors;
  for (std::int64_t layer = 0; layer < shape.layers; ++layer) {
    for (const Tensor tensor : kTensors) {
      const TensorSize size = tensor_size(shape, tensor);
      std::vector<std::int64_t> sizes = {size.rows};
      if (size.columns > 0) sizes.push_back(size.columns);
      const auto values = [shape, layer, tensor, size] {
        std::vector<float> out(static_cast<std::size_t>(size.elements()));
        seeded_weights(shape, 7, 1)(layer, tensor, out);
        return out;
      };
      tensors.push_back({"layers." + std::to_string(layer) + "." + tensor_name(tensor), sizes, values, {}});
    }
  }
  return tensors;
}

Tensors exported_case(const ModelShape& shape) {
  Tensors tensors = weights_of(shape);
  const auto add = [&](const std::string& name, const std::vector<std::int64_t>& sizes, std::int64_t elements,
                       const std::function<void(std::span<float>)>& fill) {
    const auto values = [elements, fill] {
      std::vector<float> out(static_cast<std::size_t>(elements));
      fill(out);
      return out;
    };
    tensors.push_back({name, sizes, values, {}});
  };
  const std::int64_t dim = shape.dim;
  add("history", {kHistoryLength, dim}, kHistoryLength * dim,
      [dim](std::span<float> out) { seeded_history(7, kHistoryLength, dim, out); });
  add("candidates", {kCandidateCount, dim}, kCandidateCount * dim,
      [dim](std::span<float> out) { seeded_candidates(7, 0, kCandidateCount, dim, out); });
  add("readout", {dim}, dim, [dim](std::span<float> out) { seeded_readout(7, dim, out); });
  tensors.push_back({"outputs.reference", {kCandidateCount, dim}, {}, [dim] {
                       return std::vector<double>(static_cast<std::size_t>(kCandidateCount * dim), 1e300);
                     }});
  return tensors;
}

StoredTensor& find(Tensors& tensors, const std::string& name) {
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == name; });
  REQUIRE(found != tensors.end());
  return *found;
}

std::vector<float> values_of(const TensorSource& source, const ModelShape& shape, std::int64_t layer, Tensor tensor) {
  std::vector<float> out(static_cast<std::size_t>(tensor_size(shape, tensor).elements()));
  source(layer, tensor, out);
  return out;
}

// The fault of loading an exported case after `change`.
std::string load_fault(const std::function<void(Tensors&)>& change) {
  Tensors tensors = exported_case(kSmall);
  change(tensors);
  const TemporaryFile file;
  write_safetensors(file.path(), {}, tensors);
  return fault(file.path(), [&] { load_import(file.path()); });
}

std::string reshaped_fault(const std::string& name, const std::vector<std::int64_t>& shape) {
  return load_fault([&](Tensors& tensors) { find(tensors, name) = tensor_of(name, shape); });
}

std::string removed_fault(const std::string& name) {
  return load_fault([&](Tensors& tensors) { find(tensors, name).name = "other"; });
}

}  // namespace

TEST_CASE("an exported case is imported to the bit", "[model][import]") {
  const TemporaryFile file;
  Tensors tensors = exported_case(kSmall);
  std::reverse(tensors.begin(), tensors.end());  // names say what a tensor is, not places
  write_safetensors(file.path(), {{"kvcast.config", "{\"not\": \"parsed\""}, {"format", "pt"}}, tensors);

  const ImportedCase loaded = load_import(file.path());
  CHECK(loaded.config_json == "{\"not\": \"parsed\"");
  CHECK(loaded.dim == 8);
  CHECK(loaded.layers == 3);
  CHECK(loaded.ffn_dim == 20);
  CHECK(loaded.kv_dim == 4);
  CHECK(loaded.extra_tensors.empty());
  REQUIRE(loaded.history_size.has_value());
  CHECK(loaded.history_size->rows == kHistoryLength);
  CHECK(loaded.history_size->columns == 8);
  REQUIRE(loaded.candidates_size.has_value());
  CHECK(loaded.candidates_size->rows == kCandidateCount);
  CHECK(loaded.candidates_size->columns == 8);
  CHECK(loaded.has_readout);

  CHECK(loaded.history(loaded.history_size->rows) == find(tensors, "history").f32());
  CHECK(loaded.candidates() == find(tensors, "candidates").f32());
  CHECK(loaded.readout() == find(tensors, "readout").f32());
  std::vector<float> second(8);
  loaded.read_candidates(1, second);
  const std::vector<float> all = loaded.candidates();
  CHECK(std::equal(second.begin(), second.end(), all.begin() + 8));

  const TensorSource source = loaded.source(kSmall), seeded = seeded_weights(kSmall, 7, 1);
  for (std::int64_t layer = 0; layer < kSmall.layers; ++layer) {
    for (const Tensor tensor : kTensors) {
      CAPTURE(layer, tensor_name(tensor));
      CHECK(values_of(source, kSmall, layer, tensor) == values_of(seeded, kSmall, layer, tensor));
    }
  }
}

TEST_CASE("a source stays valid when its case moves", "[model][import]") {
  const TemporaryFile file;
  write_safetensors(file.path(), {}, weights_of(kSmall));
  ImportedCase loaded = load_import(file.path());
  const TensorSource source = loaded.source(kSmall);
  const ImportedCase moved = std::move(loaded);
  CHECK(values_of(source, kSmall, 2, Tensor::down_weight) ==
        values_of(seeded_weights(kSmall, 7, 1), kSmall, 2, Tensor::down_weight));
}

TEST_CASE("weights alone are a model; other tensors are named", "[model][import]") {
  const TemporaryFile file;
  Tensors tensors = weights_of(kSmall);
  // None of them is a weight of a layer, whatever it looks like.
  const std::vector<std::string> extra = {"embedding", "layers.", "layers.0.ffn.up.bias.old", "layers.3.attn.rotary"};
  for (const std::string& name : extra) tensors.push_back(tensor_of(name, {3}));
  write_safetensors(file.path(), {}, tensors);
  const ImportedCase loaded = load_import(file.path());
  CHECK(loaded.layers == 3);
  CHECK(loaded.extra_tensors == extra);
  CHECK_FALSE(loaded.config_json.has_value());
  CHECK_FALSE(loaded.history_size.has_value());
  CHECK_FALSE(loaded.candidates_size.has_value());
  CHECK_FALSE(loaded.has_readout);
}

TEST_CASE("a weight of a misspelt layer is refused", "[model][import]") {
  for (const std::string name : {"layers.01.ffn.up.bias", "layers.-1.ffn.up.bias", "layers.x.ffn.up.bias",
                                 "layers.99999999999999999999.ffn.up.bias", "layer.0.attn.qkv.weight"}) {
    CAPTURE(name);
    const TemporaryFile file;
    Tensors tensors = weights_of(kSmall);
    tensors.push_back(tensor_of(name, {3}));
    write_safetensors(file.path(), {}, tensors);
    CHECK_THROWS_WITH(load_import(file.path()), Catch::Contains("tensor '" + name + "'"));
  }
}

TEST_CASE("every float type is imported, and a history has the width of its tokens", "[model][import]") {
  const TemporaryFile file;
  Tensors tensors = exported_case(kSmall);
  find(tensors, "layers.1.attn.out.weight").element = kernels::Element::bf16;
  find(tensors, "history") = tensor_of("history", {10, 2});  // four tokens merge into one of the model's width
  StoredTensor& readout = find(tensors, "readout");
  readout = {"readout", {8}, {}, [] { return std::vector<double>(8, 0.1); }};
  write_safetensors(file.path(), {}, tensors);
  const ImportedCase loaded = load_import(file.path());
  CHECK(loaded.history_size->rows == 10);
  CHECK(loaded.history_size->columns == 2);
  CHECK(loaded.history(loaded.history_size->rows) == std::vector<float>(20, 0.5f));
  CHECK(loaded.readout() == std::vector<float>(8, 0.1f));
  std::vector<float> expected = find(tensors, "layers.1.attn.out.weight").f32();
  for (float& value : expected) value = kernels::from_bf16(kernels::to_bf16(value));
  CHECK(values_of(loaded.source(kSmall), kSmall, 1, Tensor::out_weight) == expected);
}

TEST_CASE("a missing weight is named", "[model][import]") {
  const std::string all = "wanted every weight of the exported case in layers 0 to ";
  CHECK(removed_fault("layers.2.ffn.up.bias") == "has no tensor 'layers.2.ffn.up.bias'; " + all + "2");
  CHECK(removed_fault("layers.0.attn_norm.weight") == "has no tensor 'layers.0.attn_norm.weight'; " + all + "2");
  CHECK(load_fault([](Tensors& tensors) {
          std::erase_if(tensors, [](const StoredTensor& t) { return t.name.starts_with("layers."); });
        }) == "has no tensor 'layers.0.attn_norm.weight'; " + all + "0");
  CHECK(load_fault([](Tensors& tensors) {
          std::erase_if(tensors, [](const StoredTensor& t) { return t.name.starts_with("layers.1."); });
        }) == "has no tensor 'layers.1.attn_norm.weight'; " + all + "2");
  CHECK(load_fault([](Tensors& tensors) {
          tensors.push_back(tensor_of("layers.9223372036854775807.ffn.up.bias", {3}));
        }).starts_with("has no tensor 'layers.3.attn_norm.weight'; "));
}

TEST_CASE("weights that do not fit one another are named", "[model][import]") {
  const std::string model = " is not that of a model with dim 8, kv_dim 4 and ffn_dim 20; wanted ";
  CHECK(reshaped_fault("layers.0.attn.qkv.weight", {3, 4}) ==
        "tensor 'layers.0.attn.qkv.weight': shape [3,4]" + model + "[16,8]");
  CHECK(reshaped_fault("layers.1.attn_norm.weight", {9}) ==
        "tensor 'layers.1.attn_norm.weight': shape [9]" + model + "[8]");
  CHECK(reshaped_fault("layers.2.ffn.up.weight", {24, 8}) ==
        "tensor 'layers.2.ffn.up.weight': shape [24,8]" + model + "[20,8]");
  CHECK(reshaped_fault("layers.2.ffn.down.weight", {20, 8}) ==
        "tensor 'layers.2.ffn.down.weight': shape [20,8]" + model + "[8,20]");
  CHECK(reshaped_fault("layers.1.attn.out.bias", {8, 1}) ==
        "tensor 'layers.1.attn.out.bias': shape [8,1]" + model + "[8]");
  CHECK(reshaped_fault("readout", {9}) == "tensor 'readout': shape [9]" + model + "[8]");
  CHECK(reshaped_fault("layers.0.attn_norm.weight", {8, 1}) ==
        "tensor 'layers.0.attn_norm.weight': shape [8,1] is not that of a vector; wanted [n] with n at least 1");
  CHECK(reshaped_fault("layers.0.ffn.up.bias", {0}) ==
        "tensor 'layers.0.ffn.up.bias': shape [0] is not that of a vector; wanted [n] with n at least 1");
  for (const std::int64_t rows : {5, 8, 9, 15}) {
    CHECK(reshaped_fault("layers.0.attn.qkv.bias", {rows}) ==
          "tensor 'layers.0.attn.qkv.bias': shape [" + std::to_string(rows) +
              "] leaves no equal parts for k and v after 8 of q; wanted [dim + 2*kv_dim]");
  }
  CHECK(reshaped_fault("history", {40}) ==
        "tensor 'history': shape [40] is not one of tokens; wanted [n,width] with n at least 0");
  CHECK(reshaped_fault("history", {5, 0}) ==
        "tensor 'history': shape [5,0] is not one of tokens; wanted [n,width] with n at least 0");
  CHECK(reshaped_fault("history", {0, 8}) == "no fault");
  CHECK(reshaped_fault("candidates", {3, 7}) ==
        "tensor 'candidates': shape [3,7] is not one of tokens; wanted [n,8] with n at least 1");
  CHECK(reshaped_fault("candidates", {0, 8}) ==
        "tensor 'candidates': shape [0,8] is not one of tokens; wanted [n,8] with n at least 1");
}

TEST_CASE("a type that is no float is named where it is needed", "[model][import]") {
  for (const std::string name : {"layers.2.attn.qkv.bias", "history", "candidates", "readout", "outputs.reference"}) {
    Tensors tensors = exported_case(kSmall);
    StoredTensor& changed = find(tensors, name);
    const auto elements = static_cast<std::size_t>(changed.f64 ? changed.f64().size() : changed.f32().size());
    changed = {name, changed.shape, {}, [elements] { return std::vector<double>(elements, 1); }};
    const TemporaryFile file;
    write_safetensors(file.path(), {}, tensors);
    std::string bytes = file.bytes();
    bytes.replace(bytes.find("F64", bytes.find(name)), 3, "I64");
    file.write(bytes);
    CHECK(fault(file.path(), [&] { load_import(file.path()); }) ==
          (name == "outputs.reference" ? "no fault"
                                       : "tensor '" + name + "': dtype I64 is not read; wanted F32, F64, BF16 or F16"));
  }
}

TEST_CASE("weights that are not those of the shape asked for are refused", "[model][import]") {
  const TemporaryFile file;
  write_safetensors(file.path(), {}, exported_case(kSmall));
  const ImportedCase loaded = load_import(file.path());
  const auto problem = [&](const ModelShape& shape) { return fault(file.path(), [&] { loaded.source(shape); }); };
  CHECK(problem(kSmall) == "no fault");
  CHECK(problem(shape_of(8, 2, 1, 3, 20)) == "no fault");  // other heads, the same kv_dim
  CHECK(problem(shape_of(8, 4, 2, 2, 20)) == "holds 3 layers; wanted 2");
  CHECK(problem(shape_of(8, 4, 2, 4, 20)) == "holds 3 layers; wanted 4");
  CHECK(problem(shape_of(16, 4, 1, 3, 20)) ==
        "tensor 'layers.0.attn_norm.weight': shape [8] is not that of a model with dim 16, kv_dim 4 and ffn_dim 20; "
        "wanted [16]");
  CHECK(problem(shape_of(8, 4, 4, 3, 20)) ==
        "tensor 'layers.0.attn.qkv.weight': shape [16,8] is not that of a model with dim 8, kv_dim 8 and ffn_dim 20; "
        "wanted [24,8]");
  CHECK(problem(shape_of(8, 4, 2, 3, 32)) ==
        "tensor 'layers.0.ffn.up.weight': shape [20,8] is not that of a model with dim 8, kv_dim 4 and ffn_dim 32; "
        "wanted [32,8]");
}

TEST_CASE("a value that is not finite is named when it is loaded", "[model][import]") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const TemporaryFile file;
  Tensors tensors = exported_case(kSmall);
  const auto plant = [&](const std::string& name, std::size_t index, float value) {
    auto& values = find(tensors, name).f32;
    values = [before = values, index, value] {
      std::vector<float> out = before();
      out[index] = value;
      return out;
    };
  };
  const std::string wanted = "; wanted finite numbers in the range of fp32";
  plant("layers.1.attn.qkv.weight", 8 * 3 + 5, nan);
  plant("layers.2.ffn.up.bias", 19, -inf);
  find(tensors, "layers.2.ffn.up.bias").element = kernels::Element::bf16;
  plant("candidates", 8 + 7, inf);
  plant("history", 0, std::numeric_limits<float>::max());
  find(tensors, "readout") = {"readout", {8}, {}, [] { return std::vector<double>(8, 3.5e38); }};
  write_safetensors(file.path(), {}, tensors);

  const ImportedCase loaded = load_import(file.path());
  const TensorSource source = loaded.source(kSmall);
  const auto problem = [&](const auto& action) { return fault(file.path(), action); };
  CHECK(problem([&] { values_of(source, kSmall, 1, Tensor::qkv_weight); }) ==
        "tensor 'layers.1.attn.qkv.weight': the value at [3,5] is nan" + wanted);
  CHECK(problem([&] { values_of(source, kSmall, 2, Tensor::up_bias); }) ==
        "tensor 'layers.2.ffn.up.bias': the value at [19] is -inf" + wanted);
  CHECK(problem([&] { values_of(source, kSmall, 0, Tensor::qkv_weight); }) == "no fault");
  CHECK(problem([&] { loaded.candidates(); }) == "tensor 'candidates': the value at [1,7] is inf" + wanted);
  std::vector<float> one(8), two(16);
  CHECK(problem([&] { loaded.read_candidates(2, one); }) == "no fault");
  CHECK(problem([&] { loaded.read_candidates(1, two); }) == "tensor 'candidates': the value at [1,7] is inf" + wanted);
  CHECK(problem([&] { loaded.history(loaded.history_size->rows); }) == "no fault");
  CHECK(problem([&] { loaded.readout(); }) == "tensor 'readout': the value at [0] is inf" + wanted);
}

TEST_CASE("a damaged file loads or is refused in one line", "[model][import]") {
  const TemporaryFile file;
  write_safetensors(file.path(), {{"kvcast.config", "{}"}}, exported_case(shape_of(2, 2, 1, 1, 3)));
  const std::string good = file.bytes();

  // Everything that there is to load. True when it loaded.
  const auto load = [&] {
    try {
      const ImportedCase loaded = load_import(file.path());
      const ModelShape shape = shape_of(loaded.dim, loaded.dim, loaded.kv_dim, loaded.layers, loaded.ffn_dim);
      const TensorSource source = loaded.source(shape);
      for (std::int64_t layer = 0; layer < shape.layers; ++layer) {
        for (const Tensor tensor : kTensors) values_of(source, shape, layer, tensor);
      }
      if (loaded.history_size) loaded.history(loaded.history_size->rows);
      if (loaded.candidates_size) loaded.candidates();
      if (loaded.has_readout) loaded.readout();
      return true;
    } catch (const ConfigError& error) {
      const std::string text = error.what();
      CHECK(text.starts_with(file.path() + ": "));
      CHECK(text.find('\n') == std::string::npos);
      CHECK(text.size() < file.path().size() + 500);
      return false;
    }
  };
  CHECK(load());

  std::int64_t loaded = 0;
  for (std::size_t length = 0; length < good.size(); ++length) {
    file.write(good.substr(0, length));
    loaded += load() ? 1 : 0;
  }
  CHECK(loaded == 0);  // the last byte of the data is missed as much as the first of the header

  std::mt19937 random(20240607);
  loaded = 0;
  constexpr std::int64_t kFlips = 2000;
  for (std::int64_t i = 0; i < kFlips; ++i) {
    std::string bytes = good;
    char& byte = bytes[random() % bytes.size()];
    byte = static_cast<char>(byte ^ static_cast<char>(1 + random() % 255));
    file.write(bytes);
    loaded += load() ? 1 : 0;
  }
  // Most of the data may be any number; in the header only names of what is not needed may change.
  CHECK(loaded > 0);
  CHECK(loaded < kFlips);
}
