#include "equality/stored_outputs.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/text.h"
#include "engine/builtin/kernels/attention.h"

namespace kvcast::equality {
namespace {

// Why the file's outputs belong to another problem; empty when they may be of this one. A model that the file does not
// describe cannot contradict it: then only the outputs show a difference.
std::string another_case(const Problem& problem) {
  const ImportedCase& file = *problem.imported();
  const ModelConfig& model = problem.config().model;
  if (!file.history_size || !file.candidates_size) return "the file has no tokens to compute them from";
  if (file.history_size->rows != model.history_length) {
    return "they are those of L=" + std::to_string(file.history_size->rows);
  }
  if (problem.unused_layers() > 0) return "they are those of all " + std::to_string(file.layers) + " layers";
  if (!file.config_json) return "";
  const Config stored = parse_config(imported_config(model.import), model.import, {}, {});
  for (const ConfigDifference& difference : config_differences(stored, problem.config())) {
    if (!difference.path.starts_with("model.") || difference.path.starts_with("model.head_")) continue;
    return "they are those of " + difference.path.substr(6) + " " + difference.in_a + ", not " + difference.in_b;
  }
  return "";
}

// Largest relative error of a number that was stored as this.
double rounding(FloatType type) {
  return type == FloatType::bf16 ? 1.0 / 256 : type == FloatType::f16 ? 1.0 / 1024 : 0;
}

// The most that rounding may put outputs off by, whatever the model: sums of n terms by eps·n of their size, operands
// in bf16 (8 activations and 4 weight matrices of a layer, or K and V alone) by 2^-8 each, layers added up. Float64
// cannot say at the full shape what it comes to, as the check does (docs/model.md §7), so this is far more than that.
double max_rounding(const ModelShape& shape, std::int64_t keys, double largest) {
  constexpr double kBf16Rounding = 1.0 / 256;
  const double terms = static_cast<double>(2 * shape.dim + shape.ffn_dim + shape.head_dim()) +
                       static_cast<double>(kernels::kKeyTile) +
                       static_cast<double>(keys) / static_cast<double>(kernels::kKeyTile);
  double relative = std::numeric_limits<float>::epsilon() * terms;
  if (shape.element == kernels::Element::bf16) {
    relative += 12 * kBf16Rounding;
  } else if (shape.kv_element == kernels::Element::bf16) {
    relative += 2 * kBf16Rounding;
  }
  return relative * static_cast<double>(shape.layers) * largest;
}

// What two passes over the same model may differ by: naive's own rounding, and that of whoever wrote the file, whose
// types only the file tells, if it does.
double allowed(const Problem& problem, const std::string& name, double largest) {
  const std::int64_t length = problem.config().model.positions();
  const double own = max_rounding(problem.shape(), length, largest);
  if (name == kReferenceOutputs) return own;
  const ImportedCase& file = *problem.imported();
  ModelShape theirs = problem.shape();
  theirs.kv_element = kernels::Element::bf16;
  const bool fp32 = file.file->find("layers.0.attn.qkv.weight")->numbers == FloatType::f32;
  theirs.element = fp32 ? kernels::Element::f32 : kernels::Element::bf16;
  return own + max_rounding(theirs, length, largest);
}

}  // namespace

std::vector<StoredOutputs> compare_stored_outputs(const Opened& opened, const Judged& naive,
                                                  const std::function<bool()>& stop_requested) {
  std::vector<StoredOutputs> all;
  const Problem& problem = opened.problem;
  if (problem.imported() == nullptr || problem.imported()->outputs.empty()) return all;
  const ImportedCase& file = *problem.imported();
  const std::int64_t dim = problem.shape().dim;
  const std::string another = another_case(problem);
  const std::int64_t rows = another.empty() ? std::min(naive.batch, file.candidates_size->rows) : 0;
  std::vector<float> own;
  if (rows > 0) {
    if (stop_requested && stop_requested()) return all;
    own = outputs_of(opened.session, naive.id(), problem.candidates().first(static_cast<std::size_t>(rows * dim)), dim);
  }
  std::vector<std::string> names = file.outputs;  // the reference first, which judges most strictly
  std::stable_partition(names.begin(), names.end(), [](const std::string& name) { return name == kReferenceOutputs; });
  for (const std::string& name : names) {
    StoredOutputs& one = all.emplace_back();
    one.name = name;
    one.why_not = another;
    if (!another.empty()) continue;
    const FileTensor& tensor = *file.file->find(name);
    const std::vector<std::int64_t> wanted = {file.candidates_size->rows, dim};
    if (!tensor.numbers) {
      one.why_not = "dtype " + tensor.dtype + " is not read";
    } else if (tensor.shape != wanted) {
      one.why_not =
          "shape " + shape_text(tensor.shape) + " is not " + shape_text(wanted) + ", the shape of the candidates";
    }
    if (!one.why_not.empty()) continue;
    const std::vector<float> stored = file.stored_outputs(name);
    one.candidates = rows;
    const std::vector<double> truth(stored.begin(), stored.begin() + rows * dim), mine(own.begin(), own.end());
    one.error = vector_error(mine, truth);
    for (const double value : truth) one.largest = worse(one.largest, std::abs(value));
    one.allowed = allowed(problem, name, one.largest) + rounding(*tensor.numbers) * one.largest;
    one.agrees = one.error.max_abs <= one.allowed;
  }
  return all;
}

}  // namespace kvcast::equality

namespace kvcast {

std::string disagreement(const std::vector<StoredOutputs>& stored, const std::vector<Warning>& warnings) {
  for (const StoredOutputs& one : stored) {
    if (!one.why_not.empty() || one.agrees) continue;
    std::string text = one.name + " of the imported file differ by " + format_significant(one.error.max_abs, 3) +
                       " of " + format_significant(one.largest, 3) + " (allowed " + format_significant(one.allowed, 3) +
                       ")";
    for (const Warning& warning : warnings) {
      if (warning.code == "import-assumed") text += "; " + warning.text;
    }
    return text;
  }
  return "";
}

}  // namespace kvcast
