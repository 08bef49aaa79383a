#include "kernels/dense.h"

#include <cassert>
#include <cstring>
#include <exception>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <tuple>

#include "base/buffer.h"
#include "base/parallel.h"

namespace kvcast::kernels {
namespace {

using dnnl::memory;

// One engine for the process: it holds no state of ours, and primitives of every team must share it.
const dnnl::engine& cpu() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

// The layout is asked for at this many rows; primitives for other row counts are made to take it as it is, so that
// one packed copy serves all.
constexpr std::int64_t kLayoutRows = 1024;

memory::desc rows_desc(std::int64_t rows, std::int64_t columns) {
  return {{rows, columns}, memory::data_type::f32, memory::format_tag::ab};
}

dnnl::matmul::primitive_desc describe(std::int64_t rows, std::int64_t in, std::int64_t out, const memory::desc& weights,
                                      Epilogue epilogue) {
  dnnl::primitive_attr attributes;
  // The library's own scratch mode allocates while it executes.
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops post;
  if (epilogue == Epilogue::gelu) post.append_eltwise(1.0f, dnnl::algorithm::eltwise_gelu_erf, 0.0f, 0.0f);
  if (epilogue == Epilogue::add) post.append_sum(1.0f);
  attributes.set_post_ops(post);
  const dnnl::matmul::desc desc(rows_desc(rows, in), weights, rows_desc(1, out), rows_desc(rows, out));
  return {desc, attributes, cpu()};
}

}  // namespace

struct DenseWeights::Impl {
  std::int64_t in, out;
  memory::desc layout;
  Buffer<std::byte> packed;
  Buffer<float> bias;
};

DenseWeights::DenseWeights() = default;
DenseWeights::DenseWeights(DenseWeights&&) noexcept = default;
DenseWeights& DenseWeights::operator=(DenseWeights&&) noexcept = default;
DenseWeights::~DenseWeights() = default;
std::int64_t DenseWeights::in() const noexcept { return impl_ ? impl_->in : 0; }
std::int64_t DenseWeights::out() const noexcept { return impl_ ? impl_->out : 0; }
std::int64_t DenseWeights::bytes() const noexcept {
  return impl_ ? impl_->packed.size() + impl_->bias.size() * static_cast<std::int64_t>(sizeof(float)) : 0;
}

DenseWeights::DenseWeights(std::int64_t in, std::int64_t out, const float* weight, const float* bias)
    : impl_(std::make_unique<Impl>()) {
  impl_->in = in;
  impl_->out = out;
  const memory::desc any({in, out}, memory::data_type::f32, memory::format_tag::any);
  impl_->layout = describe(kLayoutRows, in, out, any, Epilogue::none).weights_desc();
  impl_->packed = Buffer<std::byte>(static_cast<std::int64_t>(impl_->layout.get_size()));
  impl_->bias = Buffer<float>(out);
  std::memcpy(impl_->bias.data(), bias, static_cast<std::size_t>(out) * sizeof(float));
  // [out][in] row-major is [in][out] column-major.
  memory from({{in, out}, memory::data_type::f32, memory::format_tag::ba}, cpu(), const_cast<float*>(weight));
  memory to(impl_->layout, cpu(), impl_->packed.data());
  dnnl::stream stream(cpu());
  dnnl::reorder(from, to).execute(stream, from, to);
  stream.wait();
}

struct DenseRunner::Impl {
  using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, Epilogue>;  // in, out, rows, epilogue
  struct Product {
    dnnl::matmul::primitive_desc description;
    dnnl::matmul primitive;
    memory x, weights, bias, out, scratch;
  };

  int threads;
  dnnl::stream stream{cpu()};
  std::map<Key, Product> products;
  Buffer<std::byte> scratch;

  static Key key(const DenseWeights& weights, std::int64_t rows, Epilogue epilogue) {
    return {weights.in(), weights.out(), rows, epilogue};
  }
};

DenseRunner::DenseRunner(int threads) : impl_(std::make_unique<Impl>()) { impl_->threads = threads; }
DenseRunner::DenseRunner(DenseRunner&&) noexcept = default;
DenseRunner& DenseRunner::operator=(DenseRunner&&) noexcept = default;
DenseRunner::~DenseRunner() = default;

void DenseRunner::prepare(const DenseWeights& weights, std::int64_t rows, Epilogue epilogue) {
  if (rows == 0) return;
  const auto key = Impl::key(weights, rows, epilogue);
  if (impl_->products.contains(key)) return;
  const LibraryThreads team(impl_->threads);
  Impl::Product product;
  product.description = describe(rows, weights.in(), weights.out(), weights.impl_->layout, epilogue);
  product.primitive = dnnl::matmul(product.description);
  const auto handle = [](const memory::desc& desc) { return memory(desc, cpu(), DNNL_MEMORY_NONE); };
  product.x = handle(product.description.src_desc());
  product.weights = handle(product.description.weights_desc());
  product.bias = handle(product.description.bias_desc());
  product.out = handle(product.description.dst_desc());
  product.scratch = handle(product.description.scratchpad_desc());
  const auto scratch_bytes = static_cast<std::int64_t>(product.description.scratchpad_desc().get_size());
  if (scratch_bytes > impl_->scratch.size()) impl_->scratch = Buffer<std::byte>(scratch_bytes);
  impl_->products.emplace(key, std::move(product));
}

void DenseRunner::run(const DenseWeights& weights, const float* x, std::int64_t rows, Epilogue epilogue,
                      float* out) noexcept {
  if (rows == 0) return;
  const auto found = impl_->products.find(Impl::key(weights, rows, epilogue));
  assert(found != impl_->products.end() && "prepare() this size first");
  Impl::Product& product = found->second;
  product.x.set_data_handle(const_cast<float*>(x));
  product.weights.set_data_handle(weights.impl_->packed.data());
  product.bias.set_data_handle(weights.impl_->bias.data());
  product.out.set_data_handle(out);
  product.scratch.set_data_handle(impl_->scratch.data());
  const LibraryThreads team(impl_->threads);
  // The C call: the C++ wrapper would copy its argument map into a new vector on every call.
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, product.x.get()},
                                       {DNNL_ARG_WEIGHTS, product.weights.get()},
                                       {DNNL_ARG_BIAS, product.bias.get()},
                                       {DNNL_ARG_DST, product.out.get()},
                                       {DNNL_ARG_SCRATCHPAD, product.scratch.get()}};
  // A product that was not computed must not be timed: there is no going on.
  if (dnnl_primitive_execute(product.primitive.get(), impl_->stream.get(), 5, arguments) != dnnl_success) {
    std::terminate();
  }
}

const char* DenseRunner::implementation(const DenseWeights& weights, std::int64_t rows, Epilogue epilogue) const {
  return impl_->products.at(Impl::key(weights, rows, epilogue)).description.impl_info_str();
}

const char* dense_library_version() {
  static const std::string text = [] {
    const dnnl_version_t* v = dnnl_version();
    return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
  }();
  return text.c_str();
}

}  // namespace kvcast::kernels
