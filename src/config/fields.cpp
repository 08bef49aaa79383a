#include "config/fields.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <utility>

#include "base/delimited.h"
#include "base/text.h"
#include "config/units.h"
#include "kvcast/kvcast.h"

namespace kvcast {
namespace config {
namespace {

// A budget beyond this would overflow clocks that count nanoseconds.
constexpr double kMaxBudgetS = 8760.0 * 3600.0;

// How to reach one member of Config, for reading and writing.
template <typename T>
struct Member {
  std::function<T&(Config&)> mutable_of;
  std::function<const T&(const Config&)> of;
};
template <typename Section, typename Base, typename T>
Member<T> at(Section Config::*section, T Base::*member) {
  return {[=](Config& config) -> T& { return config.*section.*member; },
          [=](const Config& config) -> const T& { return config.*section.*member; }};
}
template <typename T>
Member<T> at(T Config::*member) {
  return {[=](Config& config) -> T& { return config.*member; },
          [=](const Config& config) -> const T& { return config.*member; }};
}

// Stores a parsed value when `check` finds no fault in it.
template <typename T, typename Check>
std::string store(Parsed<T> parsed, T& target, const Check& check) {
  if (!parsed.value) return parsed.problem;
  if (std::string problem = check(*parsed.value); !problem.empty()) return problem;
  target = std::move(*parsed.value);
  return "";
}

std::string out_of_range(std::string_view text) { return in_quotes(text) + " is out of range"; }

std::string json_text(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}
std::string json_number(double value) { return std::isfinite(value) ? format_double(value) : "null"; }

std::string min_words(std::int64_t least) { return "a whole number, at least " + std::to_string(least); }

// The kinds of field. Each returns a complete table line.

Field integer(std::string path, std::string flags, Member<std::int64_t> member, std::int64_t least, std::string doc) {
  const auto text = [member](const Config& c) { return std::to_string(member.of(c)); };
  return {std::move(path),
          std::move(flags),
          "int",
          min_words(least),
          std::move(doc),
          [member, least](Config& c, std::string_view typed) {
            return store(parse_int(typed), member.mutable_of(c),
                         [&](std::int64_t value) { return value < least ? out_of_range(typed) : ""; });
          },
          text,
          text};
}

// An integer of at least 1 whose 0 means "not chosen": `automatic` says what is taken then.
Field automatic_integer(std::string path, std::string flags, Member<std::int64_t> member, std::string automatic,
                        std::string doc) {
  Field field = integer(std::move(path), std::move(flags), member, 1, std::move(doc));
  field.allowed += ", or auto (" + automatic + ")";
  field.read = [member, read = field.read](Config& c, std::string_view typed) {
    if (typed != "auto") return read(c, typed);
    member.mutable_of(c) = 0;
    return std::string();
  };
  field.text = [member](const Config& c) { return member.of(c) == 0 ? "auto" : std::to_string(member.of(c)); };
  field.json = [member](const Config& c) { return member.of(c) == 0 ? "\"auto\"" : std::to_string(member.of(c)); };
  return field;
}

Field integer_list(std::string path, std::string flags, Member<std::vector<std::int64_t>> member, std::int64_t least,
                   std::string doc) {
  const auto text = [member](const Config& c) {
    std::vector<std::string> items;
    for (const std::int64_t value : member.of(c)) items.push_back(std::to_string(value));
    return join(items, ",");
  };
  return {
      std::move(path),
      std::move(flags),
      "int list",
      "whole numbers of at least " + std::to_string(least) + " and ranges such as 1,5,10 or 100-500+100 or 1-1024*2",
      std::move(doc),
      [member, least](Config& c, std::string_view typed) {
        return store(parse_int_list(typed), member.mutable_of(c), [&](const std::vector<std::int64_t>& values) {
          return values.front() < least ? in_quotes(std::to_string(values.front())) + " is out of range" : "";
        });
      },
      text,
      [text](const Config& c) {
        std::string items = text(c);
        for (std::size_t i = 0; (i = items.find(',', i)) != std::string::npos; i += 2) items.replace(i, 1, ", ");
        return "[" + items + "]";
      }};
}

// An integer that a grid may run over.
Field swept(Field field, std::string list) {
  field.swept = std::move(list);
  return field;
}

// One that most people never set.
Field advanced(Field field) {
  field.advanced = true;
  return field;
}

// A list whose emptiness means "not chosen".
Field automatic_integer_list(std::string path, std::string flags, Member<std::vector<std::int64_t>> member,
                             std::int64_t least, std::string automatic, std::string doc) {
  Field field = integer_list(std::move(path), std::move(flags), member, least, std::move(doc));
  field.allowed += ", or auto (" + automatic + ")";
  field.read = [member, read = field.read](Config& c, std::string_view typed) {
    if (typed != "auto") return read(c, typed);
    member.mutable_of(c).clear();
    return std::string();
  };
  field.text = [member, text = field.text](const Config& c) { return member.of(c).empty() ? "auto" : text(c); };
  field.json = [member, json = field.json](const Config& c) { return member.of(c).empty() ? "\"auto\"" : json(c); };
  return field;
}

// A text out of a closed list.
Field choice(std::string path, std::string flags, Member<std::string> member, std::vector<std::string> names,
             std::string doc) {
  Field field{std::move(path),
              std::move(flags),
              "text",
              join(names, ", "),
              std::move(doc),
              [member, names](Config& c, std::string_view typed) {
                return store(Parsed<std::string>{std::string(typed), ""}, member.mutable_of(c),
                             [&](const std::string& name) {
                               const bool known = std::find(names.begin(), names.end(), name) != names.end();
                               return known ? "" : in_quotes(typed) + " is unknown";
                             });
              },
              [member](const Config& c) { return member.of(c); },
              [member](const Config& c) { return json_text(member.of(c)); }};
  field.choices = std::move(names);
  return field;
}

Field mask(std::string path, std::string flags, Member<Mask> member, std::string doc) {
  Field field{std::move(path),
              std::move(flags),
              "text",
              join(names_of<Mask>(), ", "),
              std::move(doc),
              [member](Config& c, std::string_view typed) {
                const std::optional<Mask> found = named<Mask>(typed);
                if (!found) return in_quotes(typed) + " is unknown";
                member.mutable_of(c) = *found;
                return std::string();
              },
              [member](const Config& c) { return to_string(member.of(c)); },
              [member](const Config& c) { return json_text(to_string(member.of(c))); }};
  field.choices = names_of<Mask>();
  return field;
}

std::vector<std::string> scheme_names() {
  std::vector<std::string> names;
  for (const SchemeInfo& scheme : schemes()) names.push_back(scheme.name);
  return names;
}

Field scheme_list(std::string path, std::string flags, Member<std::vector<std::string>> member, std::string doc) {
  Field field{std::move(path),
              std::move(flags),
              "text list",
              "some of " + join(scheme_names(), ", "),
              std::move(doc),
              [member](Config& c, std::string_view typed) {
                return store(parse_names(typed), member.mutable_of(c), [&](const std::vector<std::string>& names) {
                  const std::vector<std::string> known = scheme_names();
                  for (const std::string& name : names) {
                    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
                    const std::string nearest = nearest_name(name, known);
                    return in_quotes(name) + " is unknown" +
                           (nearest.empty() ? "" : " (did you mean '" + nearest + "'?)");
                  }
                  return std::string();
                });
              },
              [member](const Config& c) { return join(member.of(c), ","); },
              [member](const Config& c) {
                std::vector<std::string> items;
                for (const std::string& name : member.of(c)) items.push_back(json_text(name));
                return "[" + join(items, ", ") + "]";
              }};
  field.choices = scheme_names();
  return field;
}

Field boolean(std::string path, std::string flags, Member<bool> member, std::string doc) {
  const auto text = [member](const Config& c) { return std::string(member.of(c) ? "true" : "false"); };
  return {std::move(path),
          std::move(flags),
          "bool",
          "true, false",
          std::move(doc),
          [member](Config& c, std::string_view typed) {
            if (typed != "true" && typed != "false") return in_quotes(typed) + " is neither true nor false";
            member.mutable_of(c) = typed == "true";
            return std::string();
          },
          text,
          text};
}

Field seconds(std::string path, std::string flags, Member<double> member, double most, std::string doc) {
  return {std::move(path),
          std::move(flags),
          "time",
          "more than 0, at most " + format_duration(most) + ", with a unit such as 500ms, 30s or 2min",
          std::move(doc),
          [member, most](Config& c, std::string_view typed) {
            return store(parse_duration(typed), member.mutable_of(c),
                         [&](double value) { return value > 0.0 && value <= most ? "" : out_of_range(typed); });
          },
          [member](const Config& c) { return format_duration(member.of(c)); },
          [member](const Config& c) { return json_number(member.of(c)); }};
}

Field fraction(std::string path, std::string flags, Member<double> member, std::string doc) {
  return {std::move(path),
          std::move(flags),
          "number",
          "above 0 and below 1, such as 0.02 or 2%",
          std::move(doc),
          [member](Config& c, std::string_view typed) {
            return store(parse_fraction(typed), member.mutable_of(c),
                         [&](double value) { return value > 0.0 && value < 1.0 ? "" : out_of_range(typed); });
          },
          [member](const Config& c) { return format_double(member.of(c)); },
          [member](const Config& c) { return json_number(member.of(c)); }};
}

Field automatic_bytes(std::string path, std::string flags, Member<std::int64_t> member, std::string automatic,
                      std::string doc) {
  Field field = automatic_integer(std::move(path), std::move(flags), member, automatic, std::move(doc));
  field.type = "bytes";
  field.allowed = "at least 1 byte, such as 8GiB or 500MB, or auto (" + automatic + ")";
  field.read = [member](Config& c, std::string_view typed) {
    return store(typed == "auto" ? Parsed<std::int64_t>{0, ""} : parse_bytes(typed), member.mutable_of(c),
                 [&](std::int64_t value) { return value == 0 && typed != "auto" ? out_of_range(typed) : ""; });
  };
  field.text = [member](const Config& c) { return member.of(c) == 0 ? "auto" : format_bytes(member.of(c)); };
  return field;
}

Field free_text(std::string path, std::string flags, Member<std::string> member, std::string allowed, std::string doc) {
  return {std::move(path),
          std::move(flags),
          "text",
          std::move(allowed),
          std::move(doc),
          [member](Config& c, std::string_view typed) {
            return store(
                Parsed<std::string>{std::string(typed), ""}, member.mutable_of(c),
                [&](const std::string& text) { return is_utf8(text) ? "" : in_quotes(text) + " is not UTF-8"; });
          },
          [member](const Config& c) { return member.of(c); },
          [member](const Config& c) { return json_text(member.of(c)); }};
}

Field path(std::string path, std::string flags, Member<std::string> member, std::string allowed, std::string doc) {
  Field field = free_text(std::move(path), std::move(flags), member, std::move(allowed), std::move(doc));
  field.is_path = true;
  return field;
}

std::vector<Field> make_fields() {
  using M = ModelConfig;
  using R = RunConfig;
  using S = SweepConfig;
  using Me = MeasureConfig;
  const auto model = &Config::model;
  const auto sweep = &Config::sweep;
  const auto run = &Config::run;
  const auto measure = &Config::measure;
  // clang-format off
  return {
    free_text("comment", "", at(&Config::comment), "any UTF-8 text", "Source of the shape"),
    swept(integer("model.history_length", "-L,--history", at(model, &M::history_length), 0, "History length L, in tokens; a list makes a grid"), "sweep.history_length"),
    integer("model.dim", "-d,--dim", at(model, &M::dim), 1, "Width d of a token; d x token merge must be a multiple of heads"),
    integer("model.heads", "--heads", at(model, &M::heads), 1, "Query heads"),
    automatic_integer("model.kv_heads", "--kv-heads", at(model, &M::kv_heads), "as heads", "Key/value heads (auto = heads); must divide heads"),
    swept(integer("model.layers", "--layers", at(model, &M::layers), 1, "Transformer layers M; a list makes a grid"), "sweep.layers"),
    advanced(integer("model.ffn_factor", "--ffn-factor", at(model, &M::ffn_factor), 1, "FFN width as a multiple of d")),
    mask("model.mask", "--mask", at(model, &M::mask), "Attention mask"),
    advanced(integer("model.token_merge", "--token-merge", at(model, &M::token_merge), 1, "History tokens merged into one, K times as wide; must divide L")),
    advanced(automatic_integer("model.query_tokens", "--query-tokens", at(model, &M::query_tokens), "all", "Positions next to the candidate kept after the first layer")),
    advanced(integer("model.candidate_from_layer", "--candidate-from-layer", at(model, &M::candidate_from_layer), 0, "First layer that includes the candidate; below layers")),
    advanced(path("model.import", "--import", at(model, &M::import), "a safetensors file; empty = seeded", "Weights and tokens")),
    advanced(integer("model.head_width", "--head-width", at(model, &M::head_width), 0, "Hidden width of a ranking head after every scheme; 0 = no head")),
    advanced(integer("model.head_layers", "--head-layers", at(model, &M::head_layers), 1, "Hidden layers of the ranking head")),
    automatic_integer_list("sweep.history_length", "", at(sweep, &S::history_length), 0, "as model.history_length", "A grid over these L"),
    automatic_integer_list("sweep.layers", "", at(sweep, &S::layers), 1, "as model.layers", "A grid over these M"),
    automatic_integer_list("sweep.workers", "", at(sweep, &S::workers), 1, "as run.workers", "A grid over these workers"),
    automatic_integer_list("sweep.threads", "", at(sweep, &S::threads), 1, "as run.threads", "A grid over these threads of a worker"),
    integer_list("run.candidates", "-N,--candidates", at(run, &R::candidates), 1, "Candidates per request, N: a list or ranges"),
    scheme_list("run.schemes", "--schemes", at(run, &R::schemes), "Schemes to compare"),
    choice("run.dtype", "--dtype", at(run, &R::dtype), {"fp32", "bf16"}, "Type of weights and activations (sums are fp32)"),
    choice("run.kv_dtype", "--kv-dtype", at(run, &R::kv_dtype), {"auto", "fp32", "bf16"}, "Type of the KV cache (auto = dtype)"),
    advanced(boolean("run.cached", "--cached", at(run, &R::cached), "Add a returning user whose whole history is cached")),
    advanced(integer("run.append", "--append", at(run, &R::append), 0, "Add a returning user with this many new history tokens")),
    advanced(automatic_integer_list("run.micro_batch", "--micro-batch", at(run, &R::micro_batch), 1, "all in one pass", "Add packed with these candidates per pass, one row each")),
    advanced(free_text("run.isa", "--isa", at(run, &R::isa), "auto, or one listed by kvcast info", "SIMD target")),
    swept(integer("run.workers", "--workers", at(run, &R::workers), 1, "Requests served in parallel; a list makes a grid"), "sweep.workers"),
    swept(automatic_integer("run.threads", "--threads", at(run, &R::threads), "the CPUs this process may use, shared by the workers", "Threads of one worker; a list makes a grid"), "sweep.threads"),
    advanced(automatic_integer("run.cpus", "--cpus", at(run, &R::cpus), "the CPUs this process may use", "Skip layouts of a grid that need more CPUs")),
    integer("run.seed", "--seed", at(run, &R::seed), 0, "Random seed of weights, tokens and schedule"),
    boolean("run.trim", "--no-trim", at(run, &R::trim), "compute only K and V in the last history layer"),
    seconds("measure.budget", "--budget", at(measure, &Me::budget_s), kMaxBudgetS, "Time budget of the whole command"),
    advanced(fraction("measure.precision", "--precision", at(measure, &Me::precision), "Stop once every speed-up is known to +/- this share")),
    advanced(boolean("measure.cold", "--cold", at(measure, &Me::cold), "Flush the CPU caches before every timing")),
    advanced(boolean("measure.pin", "--pin", at(measure, &Me::pin), "Pin each thread to one CPU")),
    advanced(boolean("measure.profile", "--profile", at(measure, &Me::profile), "After measuring, also report where each pass spends its time")),
    advanced(automatic_bytes("measure.max_memory", "--max-memory", at(measure, &Me::max_memory_bytes), "what the machine has available", "Memory limit of the run")),
  };
  // clang-format on
}

// What a JSON value must be for a field of this type.
struct JsonType {
  bool number, text, boolean, list;
  std::string words;
};

JsonType json_type_of(const Field& field) {
  if (field.type == "int") return {true, false, false, false, "a whole number"};
  if (field.type == "int list")
    return {false, true, false, true, "a list of whole numbers, or a text such as \"1-64*2\""};
  if (field.type == "text list") return {false, true, false, true, "a list of texts"};
  if (field.type == "bool") return {false, false, true, false, "true or false"};
  if (field.type == "text") return {false, true, false, false, "a text"};
  return {true, true, false, false, "a number, or a text with a unit"};  // time, bytes, number
}

// A JSON list as one types it: items with commas between. Returns the problem.
std::string join_list(const Field& field, const JsonPlace& list, std::string& typed) {
  const bool whole = field.type == "int list";
  std::vector<std::string> items;
  for (const JsonPlace& item : list.items()) {
    if (whole ? !item.value().is_number() : !item.value().is_string()) {
      return "item " + std::to_string(items.size()) + " is " + item.described();
    }
    const std::string literal = item.literal();
    if (literal.find(',') != std::string::npos) return in_quotes(literal) + " is not one item";
    items.push_back(whole ? plain_whole_number(literal, {}) : literal);
  }
  typed = join(items, ",");
  return "";
}

}  // namespace

const std::vector<Field>& fields() {
  static const std::vector<Field> kFields = make_fields();
  return kFields;
}

const Field* find_field(std::string_view path) {
  const auto& all = fields();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Field& field) { return field.path == path; });
  return found == all.end() ? nullptr : &*found;
}

std::string read_json(const Field& field, const JsonPlace& place, Config& config) {
  const JsonType type = json_type_of(field);
  const Json& value = place.value();
  if (value.is_array() && type.list) {
    std::string typed;
    std::string problem = join_list(field, place, typed);
    return problem.empty() ? field.read(config, typed) : problem;
  }
  const std::string literal = place.literal();
  // "auto" is the one text that a whole number may be written as.
  const bool automatic = value.is_string() && literal == "auto" && field.type == "int";
  const bool fits = (value.is_number() && type.number) || (value.is_string() && type.text) ||
                    (value.is_boolean() && type.boolean) || automatic;
  if (!fits) return "is " + place.described() + ", not " + type.words;
  // As a number of JSON a time is in seconds, and 2.0 is whole.
  if (value.is_number() && field.type == "time") return field.read(config, literal + "s");
  if (value.is_number() && field.type == "int") return field.read(config, plain_whole_number(literal, {}));
  return field.read(config, literal);
}

std::string_view section_of(std::string_view path) {
  const std::size_t dot = path.find('.');
  return dot == std::string_view::npos ? std::string_view() : path.substr(0, dot);
}

std::string_view leaf_of(std::string_view path) {
  const std::size_t dot = path.find('.');
  return dot == std::string_view::npos ? path : path.substr(dot + 1);
}

}  // namespace config

std::vector<ConfigDifference> config_differences(const Config& a, const Config& b) {
  std::vector<ConfigDifference> differences;
  for (const config::Field& field : config::fields()) {
    const std::string in_a = field.json(a), in_b = field.json(b);
    if (in_a != in_b && field.path != "measure.max_memory") differences.push_back({field.path, in_a, in_b});
  }
  return differences;
}

std::vector<FieldInfo> config_fields() {
  const Config defaults;
  std::vector<FieldInfo> infos;
  for (const config::Field& field : config::fields()) {
    infos.push_back({field.path, field.flags, field.type, field.allowed, field.text(defaults), field.doc,
                     field.advanced, field.choices, field.is_path});
  }
  return infos;
}

}  // namespace kvcast
