// Dense products with weights packed once, through oneDNN (docs/adr/0003).
#pragma once

#include <cstdint>
#include <memory>

#include "engine/builtin/kernels/element.h"

namespace kvcast::kernels {

/// What happens to a product before it is stored.
enum class Epilogue {
  none,  ///< out = x W^T + b
  add,   ///< out += x W^T + b
};

/// A weight matrix in the library's blocked layout, with its bias. The bias is fp32 whatever the element.
class DenseWeights {
 public:
  DenseWeights();
  /// weight: [out][in] as in PyTorch; bias: [out]. Copies both. With bf16 the weights are rounded to it.
  DenseWeights(std::int64_t in, std::int64_t out, const float* weight, const float* bias,
               Element element = Element::f32);
  DenseWeights(DenseWeights&&) noexcept;
  DenseWeights& operator=(DenseWeights&&) noexcept;
  ~DenseWeights();

  std::int64_t in() const noexcept;
  std::int64_t out() const noexcept;
  Element element() const noexcept;     ///< of the weights and of the x they take
  std::int64_t bytes() const noexcept;  ///< held, packed weight and bias

  /// bytes() of such weights on this machine, before there are any: outputs come padded to 64 and inputs to 64 bytes.
  /// Without AVX-512 the library pads less.
  static double packed_bytes(std::int64_t in, std::int64_t out, Element element);

 private:
  friend class DenseRunner;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The primitives of one team of threads. oneDNN fixes a primitive's thread count when it is made, so a runner is
/// made and used on the thread that leads its team. Primitives depend on the sizes, not on the weights: layers share.
class DenseRunner {
 public:
  explicit DenseRunner(int threads);
  DenseRunner(DenseRunner&&) noexcept;
  DenseRunner& operator=(DenseRunner&&) noexcept;
  ~DenseRunner();

  /// Makes the primitive for this many rows and this type of result; does nothing when there is one. Allocates.
  /// `out` is bf16 only with bf16 weights, and never with Epilogue::add.
  void prepare(const DenseWeights& weights, std::int64_t rows, Epilogue epilogue, Element out);

  /// x: [rows][in] of the weights' element, out: [rows][out] of out_element, both contiguous. Products are accumulated
  /// in fp32; a bf16 result is rounded once, after the epilogue. The size must have been prepared; rows 0 does nothing.
  /// With AVX-512 the bits of a row do not depend on how many rows or threads run with it; below, the library's kernels
  /// follow the row count and only the error bound holds.
  void run(const DenseWeights& weights, const void* x, std::int64_t rows, Epilogue epilogue, void* out,
           Element out_element) noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Whether bf16 products run as such in the library. Where its instruction set has none (below AVX-512), weights are
/// rounded to bf16 but held as fp32, and rows are widened, multiplied in fp32 and narrowed: the same rounding, slower.
bool dense_bf16_native();

/// Version of the library, "2.6.3".
const char* dense_library_version();

}  // namespace kvcast::kernels
