// Dense products with weights packed once, through oneDNN (docs/adr/0003).
#pragma once

#include <cstdint>
#include <memory>

namespace kvcast::kernels {

/// What happens to a product before it is stored.
enum class Epilogue {
  none,  ///< out = x W^T + b
  gelu,  ///< out = gelu(x W^T + b), exact erf form
  add,   ///< out += x W^T + b
};

/// A weight matrix in the library's blocked layout, with its bias.
class DenseWeights {
 public:
  DenseWeights();
  /// weight: [out][in] as in PyTorch; bias: [out]. Copies both.
  DenseWeights(std::int64_t in, std::int64_t out, const float* weight, const float* bias);
  DenseWeights(DenseWeights&&) noexcept;
  DenseWeights& operator=(DenseWeights&&) noexcept;
  ~DenseWeights();

  std::int64_t in() const noexcept;
  std::int64_t out() const noexcept;
  std::int64_t bytes() const noexcept;  ///< held, packed weight and bias

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

  /// Makes the primitive for this many rows; does nothing when there is one. Allocates.
  void prepare(const DenseWeights& weights, std::int64_t rows, Epilogue epilogue);

  /// x: [rows][in], out: [rows][out], both contiguous. The size must have been prepared; rows 0 does nothing.
  /// Results of a row do not depend on how many rows run with it.
  void run(const DenseWeights& weights, const float* x, std::int64_t rows, Epilogue epilogue, float* out) noexcept;

  /// Name of the library's implementation for a prepared size ("brg:avx512_core").
  const char* implementation(const DenseWeights& weights, std::int64_t rows, Epilogue epilogue) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Version of the library, "2.6.3".
const char* dense_library_version();

}  // namespace kvcast::kernels
