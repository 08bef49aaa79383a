#include "app/export.h"

#include "engine/builtin/model/safetensors.h"
#include "equality/stored_outputs.h"

namespace kvcast::app {
namespace {

std::vector<float> copy(std::span<const float> values) { return {values.begin(), values.end()}; }

}  // namespace

bool export_case(const equality::Opened& opened, const std::vector<equality::Judged>& schemes,
                 const ExportOptions& options, const std::string& path) {
  const Problem& problem = opened.problem;
  const std::int64_t n = options.candidates;
  const auto stopped = [&] { return options.stop_requested && options.stop_requested(); };
  const ModelShape& shape = problem.shape();
  const Config& config = problem.config();
  const std::int64_t dim = shape.dim;
  const auto candidates = problem.candidates().first(static_cast<std::size_t>(n * dim));
  // Matrices are stored as the engine holds them, and the reference is that of what is stored.
  const TensorSource source = [&](std::int64_t layer, Tensor tensor, std::span<float> values) {
    problem.source()(layer, tensor, values);
    if (shape.element == kernels::Element::f32 || tensor_size(shape, tensor).columns == 0) return;
    for (float& value : values) value = kernels::from_bf16(kernels::to_bf16(value));
  };
  std::vector<StoredTensor> tensors;
  tensors.push_back(
      {"history", {config.model.history_length, config.model.dim}, [&] { return copy(problem.history()); }, {}});
  tensors.push_back({"candidates", {n, dim}, [&] { return copy(candidates); }, {}});
  for (std::int64_t layer = 0; layer < shape.layers; ++layer) {
    for (const Tensor tensor : kTensors) {
      const TensorSize size = tensor_size(shape, tensor);
      const auto values = [&source, layer, tensor, size] {
        std::vector<float> out(static_cast<std::size_t>(size.elements()));
        source(layer, tensor, out);
        return out;
      };
      std::vector<std::int64_t> sizes = {size.rows};
      if (size.columns > 0) sizes.push_back(size.columns);
      const kernels::Element element = size.columns > 0 ? shape.element : kernels::Element::f32;
      tensors.push_back({"layers." + std::to_string(layer) + "." + tensor_name(tensor), sizes, values, {}, element});
    }
  }
  // Before the file is begun, so that it can be left.
  for (const equality::Judged& judged : schemes) {
    if (stopped()) return false;
    opened.session.prefill(judged.id());
    const std::vector<float> outputs = equality::outputs_of(opened.session, judged.id(), candidates, dim);
    tensors.push_back({"outputs." + judged.instance.label, {n, dim}, [outputs] { return outputs; }, {}});
  }
  if (options.reference) {
    const std::vector<double> outputs =
        reference_outputs(shape, source, problem.history(), config.model.mask, candidates,
                          static_cast<int>(config.run.threads), options.stop_requested);
    if (outputs.size() < static_cast<std::size_t>(n * dim) || stopped()) return false;
    tensors.push_back({equality::kReferenceOutputs, {n, dim}, {}, [outputs] { return outputs; }});
  }
  tensors.push_back({"readout", {dim}, [&] { return copy(problem.readout()); }, {}});
  Config stored = config;
  stored.measure = {};
  write_safetensors(path, {{"kvcast.config", config_to_json(stored)}}, tensors);
  return true;
}

}  // namespace kvcast::app
