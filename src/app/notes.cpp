#include "app/notes.h"

#include <utility>

#include "base/text.h"
#include "engine/builtin/kernels/bf16_dot.h"
#include "engine/builtin/kernels/isa.h"

namespace kvcast::app {

std::vector<Warning> notes_on_environment() {
  const std::vector<std::string> limits = kernels::dense_limits();
  if (limits.empty()) return {};
  return {{"dense-isa", join(limits, ", ") + " is set: dense products ran on " + kernels::dense_isa(),
           "unset it to measure the whole CPU; --isa limits everything else as well"}};
}

std::string assumed_text(const Config& config) {
  // Nothing is added inside the layers, which no tensor tells either.
  return config.assumed.empty() ? "" : join(config.assumed, ", ") + ", positions already added to the tokens";
}

std::vector<Warning> notes_on_import(const Config& config, const ImportedCase& imported) {
  std::vector<Warning> notes;
  if (!config.assumed.empty()) {
    std::vector<std::string> names;
    for (const std::string& one : config.assumed) names.push_back(one.substr(0, one.find(' ')));
    notes.push_back(
        {"import-assumed",
         join(names, ", ") + " and positions are not in " + config.model.import + ": assumed " + assumed_text(config),
         "state them with --heads, --kv-heads, --mask, ...: wrong ones give wrong outputs"});
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
                     "not read from " + config.model.import + ", not part of this model: " + join(names, ", "),
                     "if your model needs them, its outputs differ"});
  }
  return notes;
}

std::vector<Warning> notes_on(const Problem& problem) {
  std::vector<Warning> notes = notes_on_environment();
  if (problem.shape().element == kernels::Element::bf16 && !kernels::bf16_dot_supported()) {
    notes.push_back({"bf16-portable",
                     "bf16 ran in fp32 on rounded values: this CPU, or the chosen ISA, has no bf16 dot product",
                     "the outputs hold for bf16; the times say nothing about a CPU with bf16 dot products"});
  }
  if (problem.imported() != nullptr) {
    for (Warning& note : notes_on_import(problem.config(), *problem.imported())) notes.push_back(std::move(note));
  }
  if (!problem.seeded_parts().empty()) {
    notes.push_back({"import-tokens",
                     "the imported file lacks some inputs, seeded instead: " + join(problem.seeded_parts(), ", "),
                     "lengths and N within the file use its own data"});
  }
  if (problem.unused_layers() > 0) {
    notes.push_back({"import-layers",
                     "only the first " + std::to_string(problem.shape().layers) +
                         " layers of the imported file are used; " + std::to_string(problem.unused_layers()) +
                         " are not",
                     "leave --layers out to use all of them"});
  }
  return notes;
}

}  // namespace kvcast::app
