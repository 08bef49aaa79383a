// What reads the files and flags of others, each as one function of bytes: run by libFuzzer (./dev fuzz) to find inputs
// that break it, and by kvcast_tests over tests/fuzz/corpus, so that what was found stays found.
#pragma once

#include <string_view>
#include <vector>

namespace kvcast::fuzz {

/// One input. Returns when it was taken or properly refused; whatever it throws is a finding.
using Run = void (*)(std::string_view input);

struct Target {
  const char* name;  ///< of its file, of its corpus and for ./dev fuzz
  Run run;
};

/// THE list. Corpus folders and `*_fuzz.cpp` are held against it.
const std::vector<Target>& targets();

void config(std::string_view input);
void report(std::string_view input);
void safetensors(std::string_view input);
void samples(std::string_view input);
void set(std::string_view input);
void text(std::string_view input);
void trace(std::string_view input);
void units(std::string_view input);

}  // namespace kvcast::fuzz
