// Where the entry of a user is: a hash table of 32-bit indices into an array that somebody else holds.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "base/random.h"

namespace kvcast::traffic {

/// For vectors that are read at random: on huge pages, without which every read also misses the TLB.
template <typename T>
struct HugePages {
  using value_type = T;
  HugePages() = default;
  template <typename U>
  explicit HugePages(const HugePages<U>&) noexcept {}
  T* allocate(std::size_t size) { return static_cast<T*>(aligned_allocate(size * sizeof(T))); }
  void deallocate(T* memory, std::size_t) noexcept { aligned_release(memory); }
  bool operator==(const HugePages&) const { return true; }
};

/// Open addressing, linear probing, at most half full. A slot is 32 bits of the hash and the index, so that neither a
/// probe, an erasure nor growth reads an entry of another user, unless the 32 bits agree.
class UserIndex {
 public:
  static constexpr std::uint32_t kNone = 0xffffffffU;
  static constexpr std::size_t kMost = std::size_t{1} << 31;  ///< users

  static std::uint32_t tag(std::uint64_t user) noexcept { return static_cast<std::uint32_t>(mix64(user) >> 32); }

  /// Index whose tag this is and for which same(index); kNone when there is none.
  template <typename Same>
  std::uint32_t find(std::uint32_t tag, const Same& same) const noexcept {
    for (std::size_t at = home(tag);; at = (at + 1) & mask()) {
      const Slot slot = slots_[at];
      if (slot.index == kNone || (slot.tag == tag && same(slot.index))) return slot.index;
    }
  }
  /// index is not kNone and not in the table; at most kMost are.
  void insert(std::uint32_t tag, std::uint32_t index) {
    assert(size_ < kMost);
    if (2 * (size_ + 1) > slots_.size()) grow();
    place({tag, index});
    ++size_;
  }
  /// The index is in the table under this tag.
  void erase(std::uint32_t tag, std::uint32_t index) noexcept {
    std::size_t hole = home(tag);
    while (slots_[hole].index != index) hole = (hole + 1) & mask();
    // Whatever stands behind moves up unless that is before its home, so that no probe meets a gap too early.
    for (std::size_t at = (hole + 1) & mask(); slots_[at].index != kNone; at = (at + 1) & mask()) {
      if (((at - home(slots_[at].tag)) & mask()) < ((at - hole) & mask())) continue;
      slots_[hole] = slots_[at];
      hole = at;
    }
    slots_[hole] = {};
    --size_;
  }
  void prefetch(std::uint32_t tag) const noexcept { __builtin_prefetch(&slots_[home(tag)]); }
  /// Index of the first slot of this tag, kNone for an empty one: most often the one that find() returns.
  std::uint32_t guess(std::uint32_t tag) const noexcept { return slots_[home(tag)].index; }

 private:
  struct Slot {
    std::uint32_t tag = 0, index = kNone;
  };
  std::size_t home(std::uint32_t tag) const noexcept { return tag >> shift_; }
  std::size_t mask() const noexcept { return slots_.size() - 1; }
  void place(Slot slot) noexcept {
    std::size_t at = home(slot.tag);
    while (slots_[at].index != kNone) at = (at + 1) & mask();
    slots_[at] = slot;
  }
  void grow() {
    std::vector<Slot, HugePages<Slot>> old(2 * slots_.size());
    old.swap(slots_);
    --shift_;
    for (const Slot slot : old) {
      if (slot.index != kNone) place(slot);
    }
  }

  std::vector<Slot, HugePages<Slot>> slots_ = std::vector<Slot, HugePages<Slot>>(16);
  unsigned shift_ = 28;  // 32 - log2(slots)
  std::size_t size_ = 0;
};

}  // namespace kvcast::traffic
