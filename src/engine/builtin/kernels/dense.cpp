#include "engine/builtin/kernels/dense.h"

#include <algorithm>
#include <cassert>
#include <compare>
#include <cstring>
#include <exception>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <string_view>

#include "base/buffer.h"
#include "base/parallel.h"
#include "base/stop.h"

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

memory::data_type data_type(Element element) {
  return element == Element::f32 ? memory::data_type::f32 : memory::data_type::bf16;
}

memory::desc rows_desc(std::int64_t rows, std::int64_t columns, Element element) {
  return {{rows, columns}, data_type(element), memory::format_tag::ab};
}

struct Operands {
  Element x;  // and of the weights
  Element out;
};

// What the library is given for this element: without bf16 of its own it only ever sees fp32.
Element library_element(Element element) { return dense_bf16_native() ? element : Element::f32; }

dnnl::matmul::primitive_desc describe(std::int64_t rows, std::int64_t in, std::int64_t out, const memory::desc& weights,
                                      Epilogue epilogue, Operands elements) {
  dnnl::primitive_attr attributes;
  // The library's own scratch mode allocates while it executes.
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops post;
  if (epilogue == Epilogue::add) post.append_sum(1.0f);
  attributes.set_post_ops(post);
  const dnnl::matmul::desc desc(rows_desc(rows, in, elements.x), weights, rows_desc(1, out, Element::f32),
                                rows_desc(rows, out, elements.out));
  return {desc, attributes, cpu()};
}

std::int64_t round_up(std::int64_t n, std::int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

}  // namespace

bool dense_bf16_native() {
  static const bool native = [] {
    constexpr auto kNeeded = static_cast<int>(dnnl::cpu_isa::avx512_core);
    return (static_cast<int>(dnnl::get_effective_cpu_isa()) & kNeeded) == kNeeded;
  }();
  return native;
}

struct DenseWeights::Impl {
  std::int64_t in, out;
  Element element;
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
Element DenseWeights::element() const noexcept { return impl_ ? impl_->element : Element::f32; }
std::int64_t DenseWeights::bytes() const noexcept {
  return impl_ ? impl_->packed.size() + impl_->bias.size() * static_cast<std::int64_t>(sizeof(float)) : 0;
}

double DenseWeights::packed_bytes(std::int64_t in, std::int64_t out, Element element) {
  const std::int64_t bytes = element_bytes(library_element(element));
  return static_cast<double>(round_up(in, 64 / bytes)) * static_cast<double>(round_up(out, 64)) *
             static_cast<double>(bytes) +
         static_cast<double>(out) * sizeof(float);
}

DenseWeights::DenseWeights(std::int64_t in, std::int64_t out, const float* weight, const float* bias, Element element)
    : impl_(std::make_unique<Impl>()) {
  impl_->in = in;
  impl_->out = out;
  impl_->element = element;
  const Element held = library_element(element);
  const memory::desc any({in, out}, data_type(held), memory::format_tag::any);
  impl_->layout = describe(kLayoutRows, in, out, any, Epilogue::none, {held, Element::f32}).weights_desc();
  impl_->packed = Buffer<std::byte>(static_cast<std::int64_t>(impl_->layout.get_size()));
  impl_->bias = Buffer<float>(out);
  std::memcpy(impl_->bias.data(), bias, static_cast<std::size_t>(out) * sizeof(float));
  // Rounded here, not by the library: one rounding for every instruction set.
  Buffer<Bf16> rounded;
  Buffer<float> widened;
  const void* source = weight;
  if (element == Element::bf16) {
    rounded = Buffer<Bf16>(in * out);
    narrow(weight, in * out, rounded.data());
    source = rounded.data();
    if (held == Element::f32) {
      widened = Buffer<float>(in * out);
      widen(rounded.data(), in * out, widened.data());
      source = widened.data();
    }
  }
  // [out][in] row-major is [in][out] column-major.
  memory from({{in, out}, data_type(held), memory::format_tag::ba}, cpu(), const_cast<void*>(source));
  memory to(impl_->layout, cpu(), impl_->packed.data());
  dnnl::stream stream(cpu());
  dnnl::reorder(from, to).execute(stream, from, to);
  stream.wait();
}

struct DenseRunner::Impl {
  struct Key {
    std::int64_t in, out, rows;
    Epilogue epilogue;
    Element x, result;
    auto operator<=>(const Key&) const = default;
  };
  struct Product {
    dnnl::matmul::primitive_desc description;
    dnnl::matmul primitive;
    memory x, weights, bias, out, scratch;
  };

  int threads;
  dnnl::stream stream{cpu()};
  std::map<Key, Product> products;
  Buffer<std::byte> scratch;
  Buffer<float> wide_x, wide_out;  // of the largest size, where bf16 is not native

  static Key key(const DenseWeights& weights, std::int64_t rows, Epilogue epilogue, Element out) {
    return {weights.in(), weights.out(), rows, epilogue, weights.element(), out};
  }
  void run(const DenseWeights& weights, const void* x, void* out, Product& product) noexcept;
  // body(first, count) over n elements in pieces, by the team.
  template <typename Body>
  void in_pieces(std::int64_t n, const Body& body) const {
    constexpr std::int64_t kPiece = 16384;
    parallel_for(threads, (n + kPiece - 1) / kPiece,
                 [&](std::int64_t task, int) { body(task * kPiece, std::min(kPiece, n - task * kPiece)); });
  }
};

DenseRunner::DenseRunner(int threads) : impl_(std::make_unique<Impl>()) { impl_->threads = threads; }
DenseRunner::DenseRunner(DenseRunner&&) noexcept = default;
DenseRunner& DenseRunner::operator=(DenseRunner&&) noexcept = default;
DenseRunner::~DenseRunner() = default;

void DenseRunner::prepare(const DenseWeights& weights, std::int64_t rows, Epilogue epilogue, Element out) {
  if (rows == 0) return;
  assert(out == Element::f32 || (weights.element() == Element::bf16 && epilogue != Epilogue::add));
  const auto key = Impl::key(weights, rows, epilogue, out);
  if (impl_->products.contains(key)) return;
  const LibraryThreads team(impl_->threads);
  Impl::Product product;
  product.description = describe(rows, weights.in(), weights.out(), weights.impl_->layout, epilogue,
                                 {library_element(weights.element()), library_element(out)});
  // The one packed copy must suit every row count: a plain loop behind it would be a silent 50x.
  assert(std::string_view(product.description.impl_info_str()).find("ref") == std::string_view::npos);
  product.primitive = dnnl::matmul(product.description);
  const auto handle = [](const memory::desc& desc) { return memory(desc, cpu(), DNNL_MEMORY_NONE); };
  product.x = handle(product.description.src_desc());
  product.weights = handle(product.description.weights_desc());
  product.bias = handle(product.description.bias_desc());
  product.out = handle(product.description.dst_desc());
  product.scratch = handle(product.description.scratchpad_desc());
  const auto scratch_bytes = static_cast<std::int64_t>(product.description.scratchpad_desc().get_size());
  if (scratch_bytes > impl_->scratch.size()) impl_->scratch = Buffer<std::byte>(scratch_bytes);
  if (library_element(Element::bf16) == Element::f32) {
    const auto grow = [](Buffer<float>& buffer, std::int64_t size) {
      if (size > buffer.size()) buffer = Buffer<float>(size);
    };
    if (weights.element() == Element::bf16) grow(impl_->wide_x, rows * weights.in());
    if (out == Element::bf16) grow(impl_->wide_out, rows * weights.out());
  }
  impl_->products.emplace(key, std::move(product));
}

void DenseRunner::Impl::run(const DenseWeights& weights, const void* x, void* out, Product& product) noexcept {
  product.x.set_data_handle(const_cast<void*>(x));
  product.weights.set_data_handle(weights.impl_->packed.data());
  product.bias.set_data_handle(weights.impl_->bias.data());
  product.out.set_data_handle(out);
  product.scratch.set_data_handle(scratch.data());
  const LibraryThreads team(threads);
  // The C call: the C++ wrapper would copy its argument map into a new vector on every call.
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, product.x.get()},
                                       {DNNL_ARG_WEIGHTS, product.weights.get()},
                                       {DNNL_ARG_BIAS, product.bias.get()},
                                       {DNNL_ARG_DST, product.out.get()},
                                       {DNNL_ARG_SCRATCHPAD, product.scratch.get()}};
  // A product that was not computed must not be timed: there is no going on.
  if (dnnl_primitive_execute(product.primitive.get(), stream.get(), 5, arguments) != dnnl_success) {
    std::terminate();
  }
}

void DenseRunner::run(const DenseWeights& weights, const void* x, std::int64_t rows, Epilogue epilogue, void* out,
                      Element out_element) noexcept {
  if (rows == 0 || stopping()) return;
  const auto found = impl_->products.find(Impl::key(weights, rows, epilogue, out_element));
  assert(found != impl_->products.end() && "prepare() this size first");
  if (weights.element() == Element::f32 || dense_bf16_native()) {
    impl_->run(weights, x, out, found->second);
    return;
  }
  const auto* narrow_x = static_cast<const Bf16*>(x);
  impl_->in_pieces(rows * weights.in(), [&](std::int64_t first, std::int64_t count) {
    widen(narrow_x + first, count, impl_->wide_x.data() + first);
  });
  if (out_element == Element::f32) {
    impl_->run(weights, impl_->wide_x.data(), out, found->second);
    return;
  }
  impl_->run(weights, impl_->wide_x.data(), impl_->wide_out.data(), found->second);
  auto* narrow_out = static_cast<Bf16*>(out);
  impl_->in_pieces(rows * weights.out(), [&](std::int64_t first, std::int64_t count) {
    narrow(impl_->wide_out.data() + first, count, narrow_out + first);
  });
}

const char* dense_library_version() {
  static const std::string text = [] {
    const dnnl_version_t* v = dnnl_version();
    return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
  }();
  return text.c_str();
}

}  // namespace kvcast::kernels
