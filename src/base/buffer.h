// Aligned storage for tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace kvcast {

/// Raw aligned memory: 64-byte aligned; from 1 MiB on aligned to 2 MiB with huge pages requested, because dense
/// products read weights and activations faster so (docs/adr/0003). Zero-filled. Errors: std::bad_alloc.
void* aligned_allocate(std::size_t bytes);
void aligned_release(void* memory) noexcept;

/// Owner of `size` elements of a trivial type, zero-filled, aligned as above. Movable, not copyable.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::int64_t size)
      : data_(size == 0 ? nullptr : static_cast<T*>(aligned_allocate(static_cast<std::size_t>(size) * sizeof(T)))),
        size_(size) {}
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { aligned_release(data_); }

  T* data() noexcept { return data_; }
  const T* data() const noexcept { return data_; }
  std::int64_t size() const noexcept { return size_; }
  T& operator[](std::int64_t i) noexcept { return data_[i]; }
  const T& operator[](std::int64_t i) const noexcept { return data_[i]; }
  std::span<T> span() noexcept { return {data_, static_cast<std::size_t>(size_)}; }
  std::span<const T> span() const noexcept { return {data_, static_cast<std::size_t>(size_)}; }

 private:
  T* data_ = nullptr;
  std::int64_t size_ = 0;
};

}  // namespace kvcast
