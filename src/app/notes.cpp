#include "app/notes.h"

#include "base/text.h"
#include "kernels/bf16_dot.h"
#include "kernels/isa.h"

namespace kvcast::app {

std::vector<Warning> notes_on_environment() {
  const std::vector<std::string> limits = kernels::dense_limits();
  if (limits.empty()) return {};
  return {{"dense-isa", join(limits, ", ") + " of the environment: dense products ran on " + kernels::dense_isa(),
           "unset to measure what the CPU has; --isa holds everything else to it, too"}};
}

std::vector<Warning> notes_on(const Problem& problem) {
  std::vector<Warning> notes = notes_on_environment();
  if (problem.shape().element == kernels::Element::bf16 && !kernels::bf16_dot_supported()) {
    notes.push_back({"bf16-portable",
                     "bf16 ran in fp32 on rounded values: this CPU, or the ISA asked for, has no bf16 dot product",
                     "the outputs are those of bf16, the times are not those of a CPU that has it"});
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
