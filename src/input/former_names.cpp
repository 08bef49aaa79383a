#include "input/former_names.h"

#include <map>
#include <string_view>

namespace kvcast::input {
namespace {

using Names = std::map<std::string_view, std::string_view>;

const Names kMembers = {
    {"user_seconds", "prefill_s"},
    {"user_s", "prefill_s"},
    {"fusion_seconds", "scoring_s"},
    {"likely_candidates", "expected_candidates"},
    {"safe_candidates", "conservative_candidates"},
    {"p99_safe_s", "p99_conservative_s"},
    {"least_history", "min_history"},
    {"most_history", "max_history"},
    {"least_layers", "min_layers"},
    {"most_layers", "max_layers"},
    {"least_candidates", "min_candidates"},
    {"most_candidates", "max_candidates"},
    {"losses", "slowdowns"},
    {"r_seed", "r_design_note"},
    {"drop_seed_rule", "drop_design_note"},
    {"seed_advice", "design_note_advice"},
    {"seed_improvement", "design_note_improvement"},
    {"seed_candidates", "design_note_candidates"},
    {"perfect_workers", "offered_load_workers"},
    {"batch_most", "batch_max"},
};

// Of the members `status` and `pass`.
const Names kWords = {
    {"composed", "assembled"}, {"scaled", "extrapolated"}, {"history", "prefill"}, {"candidates", "scoring"}};

std::string current(const Names& names, const std::string& name) {
  const auto found = names.find(name);
  return std::string(found == names.end() ? name : found->second);
}

/// The keys of schemes and fits are what people call them.
bool has_own_names(const std::string& member) { return member == "schemes" || member == "fits"; }

/// "across, 2 stacked" was one text.
void split_form(const std::string& form, Json& point) {
  const std::size_t comma = form.find(", ");
  const std::string first = form.substr(0, comma);
  const bool how = first == "within" || first == "across";
  point["execution"] = how ? Json(first) : Json(nullptr);
  const std::string detail = !how ? form : comma == std::string::npos ? "" : form.substr(comma + 2);
  point["detail"] = detail.empty() ? Json(nullptr) : Json(detail);
}

void rename(Json& value, bool own_names) {
  if (value.is_array()) {
    for (Json& item : value) rename(item, false);
  }
  if (!value.is_object()) return;
  Json renamed = Json::object();
  for (auto& [name, inner] : value.items()) {
    if (name == "form" && !own_names && inner.is_string() && !value.contains("execution")) {
      split_form(inner.get<std::string>(), renamed);
      continue;
    }
    std::string now = own_names ? name : current(kMembers, name);
    if (now != name && value.contains(now)) now = name;
    if ((name == "status" || name == "pass") && inner.is_string()) inner = current(kWords, inner.get<std::string>());
    if (name != "config") rename(inner, has_own_names(name));
    renamed[now] = std::move(inner);
  }
  value = std::move(renamed);
}

}  // namespace

std::string current_column(const std::string& name) { return current(kMembers, name); }
std::string current_word(const std::string& word) { return current(kWords, word); }
void use_current_names(Json& report) { rename(report, false); }

}  // namespace kvcast::input
