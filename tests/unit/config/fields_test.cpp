#include "config/fields.h"

#include <algorithm>
#include <set>
#include <string>

#include "catch.h"
#include "engine/builtin/kernels/element.h"
#include "kvcast/config.h"
#include "kvcast/kvcast.h"

using namespace kvcast;
using kvcast::config::Field;
using kvcast::config::fields;
using kvcast::config::find_field;
using kvcast::config::leaf_of;
using kvcast::config::read_json;
using kvcast::config::section_of;

namespace {

std::string read(const std::string& path, const std::string& text, Config& into) {
  const Field* field = find_field(path);
  REQUIRE(field != nullptr);
  return field->read(into, text);
}

}  // namespace

TEST_CASE("every field is fully described, once", "[config][fields]") {
  const std::set<std::string> types = {"int", "int list", "number", "bool", "text", "text list", "time", "bytes"};
  std::set<std::string> paths, flags;
  for (const FieldInfo& field : config_fields()) {
    CAPTURE(field.path);
    CHECK(paths.insert(field.path).second);
    CHECK(types.count(field.type) == 1);
    CHECK_FALSE(field.allowed.empty());
    CHECK_FALSE(field.doc.empty());
    for (std::size_t begin = 0; begin < field.flags.size();) {
      const std::size_t comma = std::min(field.flags.find(',', begin), field.flags.size());
      const std::string flag = field.flags.substr(begin, comma - begin);
      CHECK(flag[0] == '-');
      CHECK(flags.insert(flag).second);
      begin = comma + 1;
    }
  }
}

TEST_CASE("the paths and flags of the command-line contract exist", "[config][fields]") {
  const struct {
    const char *path, *flags, *type;
  } contract[] = {
      {"comment", "", "text"},
      {"model.history_length", "-L,--history", "int"},
      {"model.dim", "-d,--dim", "int"},
      {"model.heads", "--heads", "int"},
      {"model.kv_heads", "--kv-heads", "int"},
      {"model.layers", "--layers", "int"},
      {"model.ffn_factor", "--ffn-factor", "int"},
      {"model.mask", "--mask", "text"},
      {"model.token_merge", "--token-merge", "int"},
      {"model.query_tokens", "--query-tokens", "int"},
      {"model.candidate_from_layer", "--candidate-from-layer", "int"},
      {"model.import", "--import", "text"},
      {"run.candidates", "-N,--candidates", "int list"},
      {"run.schemes", "--schemes", "text list"},
      {"run.dtype", "--dtype", "text"},
      {"run.kv_dtype", "--kv-dtype", "text"},
      {"run.cached", "--cached", "bool"},
      {"run.append", "--append", "int"},
      {"run.micro_batch", "--micro-batch", "int list"},
      {"run.isa", "--isa", "text"},
      {"run.threads", "--threads", "int"},
      {"run.seed", "--seed", "int"},
      {"run.trim", "--no-trim", "bool"},
      {"measure.budget", "--budget", "time"},
      {"measure.precision", "--precision", "number"},
      {"measure.profile", "--profile", "bool"},
      {"measure.max_memory", "--max-memory", "bytes"},
  };
  for (const auto& expected : contract) {
    CAPTURE(expected.path);
    const Field* field = find_field(expected.path);
    REQUIRE(field != nullptr);
    CHECK(field->flags == expected.flags);
    CHECK(field->type == expected.type);
  }
}

TEST_CASE("every field reads back the text it shows and the JSON it writes", "[config][fields]") {
  // A config that differs from the defaults in every field, so that a line wired to the wrong member fails.
  Config other;
  const std::pair<const char*, const char*> values[] = {
      {"comment", "a \"quoted\" Größe"},
      {"model.history_length", "7"},
      {"model.dim", "96"},
      {"model.heads", "6"},
      {"model.kv_heads", "2"},
      {"model.layers", "3"},
      {"model.ffn_factor", "5"},
      {"model.mask", "bidirectional"},
      {"model.token_merge", "4"},
      {"model.query_tokens", "11"},
      {"model.candidate_from_layer", "2"},
      {"model.import", "weights \"a\".safetensors"},
      {"model.head_width", "640"},
      {"model.head_layers", "3"},
      {"sweep.history_length", "3,7"},
      {"sweep.layers", "2,3"},
      {"sweep.workers", "1,2"},
      {"sweep.threads", "2,4"},
      {"run.candidates", "2,4"},
      {"run.schemes", "shared"},
      {"run.dtype", "bf16"},
      {"run.kv_dtype", "fp32"},
      {"run.cached", "true"},
      {"run.append", "8"},
      {"run.micro_batch", "5,10"},
      {"run.isa", "avx2"},
      {"run.workers", "2"},
      {"run.threads", "3"},
      {"run.cpus", "8"},
      {"run.seed", "9"},
      {"run.trim", "false"},
      {"measure.budget", "1.5s"},
      {"measure.precision", "0.25"},
      {"measure.cold", "true"},
      {"measure.pin", "true"},
      {"measure.profile", "true"},
      {"measure.max_memory", "3GiB"},
  };
  CHECK(std::size(values) == fields().size());
  for (const auto& [path, text] : values) {
    CAPTURE(path);
    CHECK(read(path, text, other) == "");
    CHECK(find_field(path)->text(other) == text);
  }
  for (const Field& field : fields()) {
    for (const Config& source : {other, Config{}}) {
      CAPTURE(field.path, field.json(source));
      Config from_text = Config{}, from_json = other;
      if (!field.text(source).empty()) CHECK(field.read(from_text, field.text(source)) == "");
      CHECK(field.text(from_text) == field.text(source));
      CHECK(read_json(field, JsonPlace(parse_json(field.json(source), "test"), "test"), from_json) == "");
      CHECK(field.json(from_json) == field.json(source));
    }
  }
  CHECK(other.model.history_length == 7);
  CHECK(other.model.dim == 96);
  CHECK(other.model.heads == 6);
  CHECK(other.model.kv_heads == 2);
  CHECK(other.model.layers == 3);
  CHECK(other.model.ffn_factor == 5);
  CHECK(other.model.mask == Mask::bidirectional);
  CHECK(other.model.token_merge == 4);
  CHECK(other.model.query_tokens == 11);
  CHECK(other.model.candidate_from_layer == 2);
  CHECK(other.model.import == "weights \"a\".safetensors");
  CHECK(other.run.dtype == "bf16");
  CHECK(other.run.kv_dtype == "fp32");
  CHECK(other.run.cached);
  CHECK(other.run.append == 8);
  CHECK(other.run.micro_batch == std::vector<std::int64_t>{5, 10});
  CHECK(other.run.isa == "avx2");
  CHECK(other.measure.profile);
  CHECK(other.run.candidates == std::vector<std::int64_t>{2, 4});
  CHECK(other.run.schemes == std::vector<std::string>{"shared"});
  CHECK(other.run.threads == 3);
  CHECK(other.run.seed == 9);
  CHECK_FALSE(other.run.trim);
  CHECK(other.measure.budget_s == 1.5);
  CHECK(other.measure.precision == 0.25);
  CHECK(other.measure.max_memory_bytes == std::int64_t{3} << 30);
}

TEST_CASE("a refused value leaves the member as it was", "[config][fields]") {
  const std::pair<const char*, const char*> refused[] = {
      {"model.history_length", "-1"},
      {"model.dim", "0"},
      {"model.dim", "1.5"},
      {"model.heads", "0"},
      {"model.kv_heads", "0"},
      {"model.layers", "0"},
      {"model.ffn_factor", "-4"},
      {"model.mask", "Causal"},
      {"model.mask", ""},
      {"model.token_merge", "0"},
      {"model.query_tokens", "0"},
      {"model.candidate_from_layer", "-1"},
      {"run.kv_dtype", "int8"},
      {"run.append", "-1"},
      {"run.micro_batch", "0"},
      {"run.micro_batch", ""},
      {"measure.profile", "1"},
      {"run.candidates", "0"},
      {"run.candidates", "1,-5"},
      {"run.candidates", ""},
      {"run.schemes", ""},
      {"run.schemes", "naiv"},
      {"run.dtype", "fp64"},
      {"run.threads", "0"},
      {"run.threads", "-1"},
      {"run.seed", "-1"},
      {"run.seed", "9223372036854775808"},
      {"run.trim", "yes"},
      {"measure.budget", "0"},
      {"measure.budget", "-1s"},
      {"measure.budget", "nan"},
      {"measure.budget", "9000h"},
      {"measure.precision", "0"},
      {"measure.precision", "1"},
      {"measure.precision", "100%"},
      {"measure.max_memory", "0"},
      {"measure.max_memory", "-1GiB"},
      {"comment", "\xff"},
  };
  for (const auto& [path, text] : refused) {
    CAPTURE(path, text);
    Config config;
    CHECK_FALSE(read(path, text, config).empty());
    CHECK(config_to_json(config) == config_to_json(Config{}));
  }
}

TEST_CASE("auto puts back the choice of the program", "[config][fields]") {
  Config config;
  CHECK(read("run.threads", "3", config) == "");
  CHECK(read("run.threads", "auto", config) == "");
  CHECK(config.run.threads == 0);
  CHECK(read("measure.max_memory", "auto", config) == "");
  CHECK(find_field("measure.max_memory")->text(config) == "auto");
}

TEST_CASE("every mask has a name that reads back", "[config][fields]") {
  for (const Mask mask : {Mask::causal, Mask::history_blind, Mask::target_first_causal, Mask::bidirectional}) {
    Config config;
    CHECK_FALSE(to_string(mask).empty());
    CHECK(read("model.mask", to_string(mask), config) == "");
    CHECK(config.model.mask == mask);
  }
}

TEST_CASE("the types that a config takes are those of the engine", "[config][fields]") {
  for (const char* path : {"run.dtype", "run.kv_dtype"}) {
    Config config;
    for (const std::string_view name : kernels::kElementNames) CHECK(read(path, std::string(name), config) == "");
    for (const char* name : {"", "fp16", "FP32", "f32"}) CHECK_FALSE(read(path, name, config).empty());
  }
}

TEST_CASE("every scheme of the list is accepted by name", "[config][fields]") {
  for (const SchemeInfo& scheme : schemes()) {
    Config config;
    CHECK(read("run.schemes", scheme.name, config) == "");
    CHECK(config.run.schemes == std::vector<std::string>{scheme.name});
  }
}

TEST_CASE("paths split at the dot", "[config][fields]") {
  CHECK(section_of("model.dim") == "model");
  CHECK(leaf_of("model.dim") == "dim");
  CHECK(section_of("comment").empty());
  CHECK(leaf_of("comment") == "comment");
}
