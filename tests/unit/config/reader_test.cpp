#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "catch.h"
#include "input/text/json.h"
#include "kvcast/config.h"
#include "kvcast/error.h"

using namespace kvcast;

namespace {

constexpr HostLimits kHost{4, std::int64_t{8} << 30};

Config parse(const std::string& json, const std::vector<Assignment>& assignments = {}) {
  return parse_config(json, "x.json", assignments, kHost);
}

std::string error_of(const std::string& json, const std::vector<Assignment>& assignments = {}) {
  try {
    parse(json, assignments);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

std::string flag_error(const std::string& path, const std::string& value) {
  return error_of("{}", {{path, value, "--flag"}});
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// A file that is gone at the end of the test.
class TempFile {
 public:
  explicit TempFile(const std::string& content) : path_(unique_path()) {
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~TempFile() { std::filesystem::remove(path_); }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path unique_path() const {
    const auto address = reinterpret_cast<std::uintptr_t>(this);
    const auto now = std::filesystem::file_time_type::clock::now().time_since_epoch().count();
    return std::filesystem::temp_directory_path() /
           ("kvcast_reader_" + std::to_string(address) + "_" + std::to_string(now) + ".json");
  }
  std::filesystem::path path_;
};

}  // namespace

TEST_CASE("an empty config is the defaults, resolved for this machine", "[config][reader]") {
  const Config config = parse("{}");
  CHECK(config.model.dim == 256);
  CHECK(config.model.kv_heads == config.model.heads);
  CHECK(config.run.threads == 4);
  CHECK(config.measure.max_memory_bytes == std::int64_t{8} << 30);
  CHECK(config_to_json(load_config("", {}, kHost)) == config_to_json(config));
}

TEST_CASE("a machine that tells nothing still resolves", "[config][reader]") {
  const Config config = parse_config("{}", "x.json", {}, HostLimits{0, 0});
  CHECK(config.run.threads == 1);
  CHECK(config.measure.max_memory_bytes == 0);
  CHECK(config_to_json(parse_config(config_to_json(config), "echo", {}, HostLimits{0, 0})) == config_to_json(config));
}

TEST_CASE("every kind of JSON value reads", "[config][reader]") {
  const Config config = parse(R"({
    "comment": "from a paper",
    "model": {"history_length": 0, "dim": 96, "heads": 6, "kv_heads": 3, "layers": 1, "ffn_factor": 2, "mask": "history-blind"},
    "run": {"candidates": [5, 1, 5], "schemes": ["naive"], "dtype": "fp32", "threads": 2, "seed": 0, "trim": false},
    "measure": {"budget": "2min", "precision": "5%", "max_memory": "1.5GiB"}})");
  CHECK(config.comment == "from a paper");
  CHECK(config.model.history_length == 0);
  CHECK(config.model.kv_heads == 3);
  CHECK(config.model.mask == Mask::history_blind);
  CHECK(config.run.candidates == std::vector<std::int64_t>{1, 5});
  CHECK(config.run.schemes == std::vector<std::string>{"naive"});
  CHECK_FALSE(config.run.trim);
  CHECK(config.measure.budget_s == 120.0);
  CHECK(config.measure.precision == 0.05);
  CHECK(config.measure.max_memory_bytes == std::int64_t{3} << 29);

  CHECK(parse(R"({"run": {"candidates": "1-8*2"}})").run.candidates == std::vector<std::int64_t>{1, 2, 4, 8});
  CHECK(parse(R"({"run": {"schemes": "shared,naive"}})").run.schemes == std::vector<std::string>{"shared", "naive"});
  CHECK(parse(R"({"measure": {"budget": 2.5, "max_memory": 1e9}})").measure.budget_s == 2.5);
  CHECK(parse(R"({"model": {"layers": 2.0}, "run": {"candidates": [1.0, 5]}})").model.layers == 2);
  CHECK(parse(R"({"measure": {"max_memory": 1e9}})").measure.max_memory_bytes == 1'000'000'000);
  CHECK(parse("\xEF\xBB\xBF{}").model.dim == 256);  // a byte order mark
}

TEST_CASE("assignments win over the file, later ones over earlier ones", "[config][reader]") {
  const Config config =
      parse(R"({"model": {"dim": 128, "layers": 2}})",
            {{"model.dim", "64", "--dim"}, {"model.dim", "32", "--set model.dim"}, {"run.trim", "false", "--no-trim"}});
  CHECK(config.model.dim == 32);
  CHECK(config.model.layers == 2);
  CHECK_FALSE(config.run.trim);
}

TEST_CASE("what follows --set is a path and a value", "[config][reader]") {
  const auto refused = [](const std::string& text) { return error_of("{}", {parse_set(text)}); };
  CHECK(parse("{}", {parse_set("model.dim=32")}).model.dim == 32);
  CHECK(parse("{}", {parse_set("comment=a=b")}).comment == "a=b");
  CHECK(refused("model.dim") == "--set: 'model.dim' is not PATH=VALUE; such as --set model.dim=512");
  CHECK(refused("=5") == "--set: '=5' is not PATH=VALUE; such as --set model.dim=512");
  CHECK(refused("a\nb") == "--set: 'a\\nb' is not PATH=VALUE; such as --set model.dim=512");
  CHECK(refused("dim=1") == "--set dim: unknown path; did you mean 'model.dim'?");
  CHECK(refused("model.d\x1b=1").starts_with("--set model.d\\x1b: unknown path; "));
}

TEST_CASE("the echoed config reads back to itself", "[config][reader]") {
  const std::vector<Assignment> changes = {
      {"comment", "x \"y\" \\ \n \x01 é", "t"}, {"model.kv_heads", "2", "t"},
      {"run.candidates", "1-64*2", "t"},        {"measure.budget", "7ms", "t"},
      {"measure.precision", "0.3%", "t"},       {"model.mask", "bidirectional", "t"}};
  for (const Config& config : {parse("{}"), parse("{}", changes), Config{}}) {
    const std::string text = config_to_json(config);
    CHECK(text.back() == '\n');
    CHECK(text.starts_with("{\n  \"comment\""));
    // Defaults of this machine are part of the echo; the unresolved Config reads back resolved.
    const Config back = parse(text);
    CHECK(config_to_json(back) == config_to_json(config.run.threads == 0 ? parse("{}") : config));
  }
  CHECK(contains(config_to_json(Config{}), "\"threads\": \"auto\""));
}

TEST_CASE("unknown keys name their place and a near name", "[config][reader]") {
  CHECK(error_of(R"({"model": {"dimm": 1}})") == "x.json: /model/dimm: unknown key; did you mean 'dim'?");
  CHECK(error_of(R"({"modle": {}})") == "x.json: /modle: unknown key; did you mean 'model'?");
  CHECK(error_of(R"({"zzz": 1})") == "x.json: /zzz: unknown key; allowed: comment, model, sweep, run, measure");
  CHECK(error_of(R"({"model.dim": 4})") ==
        "x.json: /model.dim: unknown key; allowed: comment, model, sweep, run, measure");
  CHECK(contains(error_of(R"({"": 1})"), "x.json: /: unknown key"));
  CHECK(error_of("{}", {{"model.dmi", "1", "--set model.dmi"}}) ==
        "--set model.dmi: unknown path; did you mean 'model.dim'?");
  CHECK(error_of("{}", {{"dim", "1", "--set dim"}}) == "--set dim: unknown path; did you mean 'model.dim'?");
  CHECK(error_of("{}", {{"budget", "1", "--set budget"}}) ==
        "--set budget: unknown path; did you mean 'measure.budget'?");
}

TEST_CASE("repeated keys are refused at every level", "[config][reader]") {
  CHECK(error_of(R"({"model": {"dim": 8, "dim": 16}})") ==
        "x.json: /model/dim: the key appears twice; keep one of them");
  CHECK(contains(error_of(R"({"model": {}, "model": {}})"), "x.json: /model: the key appears twice"));
}

TEST_CASE("a wrong type names the place, the value and what is allowed", "[config][reader]") {
  CHECK(error_of(R"({"model": {"dim": "256"}})") ==
        "x.json: /model/dim: is the text '256', not a whole number; allowed: a whole number, at least 1");
  for (const char* json : {
           R"({"model": {"dim": 1.5}})",
           R"({"model": {"dim": 256.5}})",
           R"({"model": {"dim": true}})",
           R"({"model": {"dim": null}})",
           R"({"model": {"dim": [1]}})",
           R"({"model": {"dim": {}}})",
           R"({"model": {"mask": 1}})",
           R"({"run": {"trim": 1}})",
           R"({"run": {"trim": "true"}})",
           R"({"run": {"candidates": 5}})",
           R"({"run": {"candidates": [1, "5"]}})",
           R"({"run": {"candidates": [1, 2.5]}})",
           R"({"run": {"candidates": [[1]]}})",
           R"({"run": {"schemes": [1]}})",
           R"({"run": {"schemes": ["naive,shared"]}})",
           R"({"run": {"threads": "4"}})",
           R"({"measure": {"budget": true}})",
           R"({"comment": 1})",
       }) {
    CAPTURE(json);
    CHECK(contains(error_of(json), "x.json: /"));
    CHECK(contains(error_of(json), "allowed: "));
  }
  CHECK(contains(error_of(R"({"model": 5})"), "x.json: /model: is the number 5, not an object"));
  CHECK(contains(error_of("[1]"), "x.json: is a list"));
  CHECK(contains(error_of("5"), "x.json: is the number 5"));
}

TEST_CASE("values out of range name the place, the value and what is allowed", "[config][reader]") {
  CHECK(error_of(R"({"model": {"dim": -5}})") ==
        "x.json: /model/dim: '-5' is out of range; allowed: a whole number, at least 1");
  CHECK(error_of(R"({"model": {"dim": 99999999999999999999}})") ==
        "x.json: /model/dim: '99999999999999999999' does not fit 64 bits; allowed: a whole number, at least 1");
  CHECK(contains(error_of(R"({"run": {"candidates": [0, 5]}})"), "x.json: /run/candidates: '0' is out of range"));
  CHECK(contains(error_of(R"({"run": {"candidates": []}})"), "x.json: /run/candidates: an empty list"));
  CHECK(contains(error_of(R"({"run": {"schemes": []}})"), "x.json: /run/schemes: an empty list"));
  CHECK(
      contains(error_of(R"({"run": {"schemes": ["naiv"]}})"), "'naiv' is unknown (did you mean 'naive'?); allowed: "));
  CHECK(
      contains(error_of(R"({"model": {"mask": "causall"}})"), "'causall' is unknown; allowed: causal, history-blind"));
  CHECK(contains(error_of(R"({"measure": {"precision": 1}})"), "x.json: /measure/precision: '1' is out of range"));
  CHECK(contains(flag_error("run.threads", "0"), "--flag: '0' is out of range; allowed: a whole number, at least 1"));
  CHECK(contains(flag_error("measure.budget", "-3s"), "--flag: '-3s' is negative"));
}

TEST_CASE("faults between fields blame what was set last", "[config][reader]") {
  CHECK(error_of(R"({"model": {"dim": 770, "heads": 12}})") ==
        "x.json: /model/heads: dim 770 is not divisible by heads 12; dim must be a multiple of heads");
  CHECK(contains(flag_error("model.heads", "3"), "--flag: dim 256 is not divisible by heads 3"));
  CHECK(contains(error_of(R"({"model": {"heads": 12, "dim": 768}})", {{"model.dim", "770", "--dim"}}),
                 "--dim: dim 770 is not divisible by heads 12"));
  CHECK(contains(error_of(R"({"model": {"kv_heads": 3}})"),
                 "x.json: /model/kv_heads: heads 4 is not divisible by kv_heads 3"));
  CHECK(contains(flag_error("model.kv_heads", "8"), "heads 4 is not divisible by kv_heads 8"));
}

TEST_CASE("merged, hybrid and late models must fit together", "[config][reader]") {
  CHECK(contains(error_of(R"({"model": {"history_length": 10, "token_merge": 4}})"),
                 "x.json: /model/token_merge: history_length 10 is not divisible by token_merge 4"));
  CHECK(contains(error_of(R"({"model": {"dim": 6, "heads": 4}})"), "x.json: /model/heads: dim 6 is not divisible"));
  CHECK(parse(R"({"model": {"dim": 6, "heads": 4, "token_merge": 2}})").model.heads == 4);  // 12 is
  CHECK(contains(error_of(R"({"model": {"dim": 7, "heads": 4, "token_merge": 2}})"),
                 "dim 7 x token_merge 2 is not divisible by heads 4"));
  CHECK(contains(flag_error("model.candidate_from_layer", "4"),
                 "--flag: candidate_from_layer 4 with layers 4; allowed: 0 to 3, the last layer"));
  CHECK(contains(error_of(R"({"model": {"mask": "bidirectional", "query_tokens": 3}})"),
                 "/model/query_tokens: query_tokens 3 under mask bidirectional; "
                 "query tokens need mask causal or history-blind"));
  CHECK(parse(R"({"model": {"mask": "history-blind", "query_tokens": 3}})").model.query_tokens == 3);
  CHECK(contains(error_of("{}", {{"model.dim", "9223372036854775807", "a"}, {"model.token_merge", "256", "b"}}),
                 "b: dim 9223372036854775807, token_merge 256: the width overflows 64 bits"));
}

TEST_CASE("a returning user adds schemes, and only with tokens to append", "[config][reader]") {
  using Names = std::vector<std::string>;
  CHECK(parse(R"({"run": {"cached": true}})").run.schemes == Names{"naive", "shared", "cached"});
  CHECK(parse(R"({"run": {"append": 8}})").run.schemes == Names{"naive", "shared", "append"});
  const Config both = parse(R"({"run": {"schemes": ["append"], "append": 8, "cached": true}})");
  CHECK(both.run.schemes == Names{"append", "cached"});
  CHECK(config_to_json(parse(config_to_json(both))) == config_to_json(both));
  CHECK(parse(R"({"run": {"micro_batch": [5, 10]}})").run.schemes == Names{"naive", "shared", "packed"});
  CHECK(contains(error_of(R"({"run": {"schemes": ["append"]}})"), "scheme 'append' without new tokens"));
  CHECK(contains(flag_error("run.append", "257"), "--flag: append 257 with history_length 256 and token_merge 1"));
  CHECK(contains(error_of(R"({"model": {"token_merge": 4}, "run": {"append": 6}})"), "in whole merged tokens"));
}

TEST_CASE("the cache is stored as the activations are, unless told otherwise", "[config][reader]") {
  CHECK(parse("{}").run.kv_dtype == "fp32");
  CHECK(parse(R"({"run": {"dtype": "bf16"}})").run.kv_dtype == "bf16");
  CHECK(parse(R"({"run": {"dtype": "bf16", "kv_dtype": "fp32"}})").run.kv_dtype == "fp32");
}

TEST_CASE("threads are bounded by four times the CPUs", "[config][reader]") {
  CHECK(parse("{}", {{"run.threads", "16", "--threads"}}).run.threads == 16);
  CHECK(flag_error("run.threads", "17") == "--flag: 17 threads on 4 CPUs; allowed: 1 to 16, four times the CPUs");
}

TEST_CASE("sizes that overflow are refused before anything is allocated", "[config][reader]") {
  const std::string huge = "4611686018427387904";  // 2^62, divisible by 4 heads
  for (const char* path : {"model.history_length", "model.dim", "model.layers", "model.ffn_factor", "model.head_width",
                           "run.candidates"}) {
    CAPTURE(path);
    CHECK(contains(flag_error(path, huge), "--flag: "));
    CHECK(contains(flag_error(path, huge), "overflows 64 bits; make one smaller"));
  }
  CHECK(contains(flag_error("model.history_length", "9223372036854775807"), "overflows 64 bits"));
  // Each factor fits, the product does not.
  CHECK(contains(error_of("{}", {{"model.dim", "100000000", "a"}, {"model.layers", "1000000000", "b"}}),
                 "b: dim 100000000, ffn_factor 4, layers 1000000000: the size of the weights of all layers overflows"));
}

TEST_CASE("bad syntax names line and column", "[config][reader]") {
  CHECK(contains(error_of("{\n  \"model\": {\n    \"dim\" 5\n  }\n}"), "x.json: line 3, column 11: "));
  CHECK(contains(error_of("{\"a\": 1,}"), "x.json: line 1, column 9: "));
  CHECK(contains(error_of(""), "x.json: line 1, column 1: "));
  CHECK(contains(error_of("{"), "x.json: line 1, column 2: "));
  CHECK(contains(error_of("{} x"), "x.json: line 1, column 4: "));
  CHECK(contains(error_of("{}\n{}"), "x.json: line 2, column 1: "));
  CHECK(contains(error_of(std::string("{}\0{}", 5)), "x.json: "));
  for (const char* json : {"{\"measure\": {\"budget\": NaN}}", "{\"measure\": {\"budget\": Infinity}}",
                           "{\"measure\": {\"budget\": -inf}}", "{\"measure\": {\"budget\": 1e999}}", "{'a': 1}",
                           "{\"a\": 01}", "// comment\n{}", "{\"comment\": \"\xff\"}", "{\"comment\": \"a\nb\"}"}) {
    CAPTURE(json);
    const std::string error = error_of(json);
    CHECK(contains(error, "x.json: line "));
    CHECK(error.find('\n') == std::string::npos);
    CHECK(error.size() < 300);
  }
}

TEST_CASE("hostile JSON neither crashes nor fills memory", "[config][reader]") {
  CHECK(contains(error_of(std::string(1'000'000, '[')), "nested deeper than 64 levels"));
  std::string nested;
  for (int i = 0; i < 100'000; ++i) nested += "{\"a\":";
  CHECK(contains(error_of(nested), "nested deeper than 64 levels"));
  std::string wide = "[0";
  for (int i = 0; i < 200'000; ++i) wide += ",0";
  CHECK(contains(error_of(wide + "]"), "more than 100000 values"));
  std::string long_list = "{\"run\": {\"candidates\": [1";
  for (int i = 0; i < 10'001; ++i) long_list += ",1";
  CHECK(contains(error_of(long_list + "]}}"), "a list of more than 10000 values"));
  CHECK(error_of("{\"" + std::string(100'000, 'k') + "\": 1}").size() < 300);
  CHECK(error_of("\"" + std::string(100'000, 'k')).size() < 300);
  CHECK(parse_json(std::string(64, '[') + std::string(64, ']'), "x").size() == 1);
}

TEST_CASE("errors in nested lists point at their place", "[config][reader]") {
  CHECK(contains(error_of(R"({"a": [{}, {"b": 1, "b": 2}]})"), "x.json: /a/1/b: the key appears twice"));
}

TEST_CASE("a name with a slash or .json is a file", "[config][reader]") {
  const TempFile good(R"({"model": {"dim": 128}})");
  CHECK(load_config(good.path(), {}, kHost).model.dim == 128);
  const TempFile bad(R"({"model": {"dim": 0}})");
  CHECK_THROWS_WITH(load_config(bad.path(), {}, kHost),
                    bad.path() + ": /model/dim: '0' is out of range; allowed: a whole number, at least 1");
  CHECK_THROWS_AS(load_config("./no-such-file.json", {}, kHost), IoError);
  CHECK_THROWS_AS(load_config("/", {}, kHost), IoError);
  const TempFile large(std::string((std::size_t{16} << 20) + 1, ' '));
  CHECK_THROWS_AS(load_config(large.path(), {}, kHost), ConfigError);
  const TempFile largest("{}" + std::string((std::size_t{16} << 20) - 2, ' '));
  CHECK_NOTHROW(load_config(largest.path(), {}, kHost));
  CHECK_THROWS_AS(load_config("/dev/zero", {}, kHost), ConfigError);
}

TEST_CASE("a list for L or layers is a grid, a single value ends it", "[config][reader]") {
  const Config grid_config = parse("{}", {{"model.history_length", "64,16,32", "-L"}, {"model.layers", "2-4", "t"}});
  CHECK(grid_config.sweep.history_length == std::vector<std::int64_t>{16, 32, 64});
  CHECK(grid_config.sweep.layers == std::vector<std::int64_t>{2, 3, 4});
  // The model's own value is the largest of its grid.
  CHECK(grid_config.model.history_length == 64);
  CHECK(grid_config.model.layers == 4);
  const std::vector<Config> cases = grid(grid_config);
  REQUIRE(cases.size() == 9);
  CHECK(cases[1].model.history_length == 32);
  CHECK(cases[1].model.layers == 2);
  CHECK(cases[8].model.history_length == 64);
  CHECK(cases[8].model.layers == 4);
  CHECK(cases[4].sweep.history_length.empty());

  const std::string file = R"({"sweep": {"history_length": "8-32*2", "layers": [2]}, "model": {"history_length": 4}})";
  CHECK(parse(file).sweep.history_length == std::vector<std::int64_t>{8, 16, 32});
  CHECK(parse(file).sweep.layers.empty());  // one value is no grid
  CHECK(parse(file).model.layers == 2);
  CHECK(grid(parse(file)).size() == 3);
  const Config single = parse(file, {{"model.history_length", "7", "-L"}});
  CHECK(single.sweep.history_length.empty());
  CHECK(grid(single).size() == 1);
  CHECK(single.model.history_length == 7);
  CHECK(grid(parse("{}")).size() == 1);
  CHECK(config_to_json(parse(config_to_json(grid_config))) == config_to_json(grid_config));
}

TEST_CASE("every shape of a grid must be one that can run", "[config][reader]") {
  const auto fault = [](const std::string& sweep, const std::string& model, const std::string& run = "{}") {
    return error_of(R"({"model": )" + model + R"(, "run": )" + run + R"(, "sweep": )" + sweep + "}");
  };
  CHECK(contains(fault(R"({"history_length": [8, 10, 16]})", R"({"token_merge": 4})"),
                 "/sweep/history_length: history_length 10 is not divisible by token_merge 4"));
  CHECK(contains(fault(R"({"layers": [1, 4]})", R"({"candidate_from_layer": 1})"),
                 "candidate_from_layer 1 with layers 1"));
  CHECK(contains(fault(R"({"history_length": [8, 64]})", "{}", R"({"append": 9})"), "append 9 with history_length 8"));
  CHECK(contains(fault(R"({"history_length": [-1]})", "{}"), "x.json: /sweep/history_length"));
  CHECK(contains(fault(R"({"layers": []})", "{}"), "x.json: /sweep/layers"));
  CHECK(contains(error_of("{}", {{"model.history_length", "64,x", "-L"}}), "-L: 'x' is not a whole number"));
  // 2,001 times 2,001 shapes.
  CHECK(contains(error_of("{}", {{"model.history_length", "0-2000", "-L"}, {"model.layers", "1-2001", "--layers"}}),
                 "shapes"));
}
