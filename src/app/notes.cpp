#include "app/notes.h"

#include <utility>

#include "base/text.h"
#include "engine/builtin/kernels/bf16_dot.h"
#include "engine/builtin/kernels/isa.h"

namespace kvcast::app {

std::vector<Warning> notes_on_environment() {
  const std::vector<std::string> limits = kernels::dense_limits();
  if (limits.empty()) return {};
  return {{"dense-isa", join(limits, ", ") + " of the environment: dense products ran on " + kernels::dense_isa(),
           "unset to measure what the CPU has; --isa holds everything else to it, too"}};
}

std::string assumed_text(const Config& config) {
  // Nothing is added inside the layers, which no tensor tells either.
  return config.assumed.empty() ? "" : join(config.assumed, ", ") + ", positions part of the tokens";
}

std::vector<Warning> notes_on_import(const Config& config, const ImportedCase& imported) {
  std::vector<Warning> notes;
  if (!config.assumed.empty()) {
    std::vector<std::string> names;
    for (const std::string& one : config.assumed) names.push_back(one.substr(0, one.find(' ')));
    notes.push_back(
        {"import-assumed",
         join(names, ", ") + " and positions are not in " + config.model.import + ": assumed " + assumed_text(config),
         "say those of the model: --heads, --kv-heads, --mask, ...; with others the outputs are another's"});
  }
  if (!imported.extra_tensors.empty()) {
    constexpr std::size_t kNamed = 5;
    std::vector<std::string> names;
    for (const std::string& name : imported.extra_tensors) {
      if (names.size() < kNamed) names.push_back(in_quotes(name));
    }
    const std::size_t count = imported.extra_tensors.size();
    if (count > kNamed) names.push_back(std::to_string(count - kNamed) + " more");
    notes.push_back({"import-tensors",
                     "not read from " + config.model.import + ", as no part of this model: " + join(names, ", "),
                     "a model that needs them gives other outputs"});
  }
  return notes;
}

std::vector<Warning> notes_on(const Problem& problem) {
  std::vector<Warning> notes = notes_on_environment();
  if (problem.shape().element == kernels::Element::bf16 && !kernels::bf16_dot_supported()) {
    notes.push_back({"bf16-portable",
                     "bf16 ran in fp32 on rounded values: this CPU, or the ISA asked for, has no bf16 dot product",
                     "the outputs are those of bf16, the times are not those of a CPU that has it"});
  }
  if (problem.imported() != nullptr) {
    for (Warning& note : notes_on_import(problem.config(), *problem.imported())) notes.push_back(std::move(note));
  }
  if (!problem.seeded_parts().empty()) {
    notes.push_back({"import-tokens",
                     "the imported file does not have all it takes: seeded " + join(problem.seeded_parts(), ", "),
                     "a history and candidates within what the file has are its own"});
  }
  if (problem.unused_layers() > 0) {
    notes.push_back({"import-layers",
                     "only the first " + std::to_string(problem.shape().layers) +
                         " layers of the imported file are used, " + std::to_string(problem.unused_layers()) +
                         " are left out",
                     "leave --layers out to use all"});
  }
  return notes;
}

}  // namespace kvcast::app
