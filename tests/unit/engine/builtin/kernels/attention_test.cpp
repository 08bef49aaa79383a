#include "engine/builtin/kernels/attention.h"

#include <hwy/targets.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/buffer.h"
#include "base/parallel.h"
#include "base/random.h"
#include "catch.h"
#include "engine/builtin/kernels/bf16_dot.h"

using namespace kvcast;
using namespace kvcast::kernels;

namespace {

constexpr double kEps = std::numeric_limits<float>::epsilon();
constexpr double kBf16Unit = 1.0 / 256;      // largest relative error of rounding to bf16
constexpr double kBf16P = kBf16Unit + 9e-5;  // and of p in native products

// Types of a run: of the block, of q, self and out, and whether the AVX512-BF16 kernels may be used.
struct Types {
  Element block = Element::f32, element = Element::f32;
  bool native = true;
};
constexpr Types kTypes[] = {{Element::f32, Element::f32},
                            {Element::f32, Element::bf16},
                            {Element::bf16, Element::f32},
                            {Element::bf16, Element::bf16, false},
                            {Element::bf16, Element::bf16, true}};

// Limits Highway to targets below AVX3 while alive.
class BelowAvx3 {
 public:
  BelowAvx3() {
    const auto all = hwy::SupportedTargets();
    const auto low = all & ~static_cast<std::int64_t>(HWY_AVX3 | HWY_AVX3_DL);
    if (low != 0) set(low);
  }
  ~BelowAvx3() { set(0); }
  BelowAvx3(const BelowAvx3&) = delete;
  BelowAvx3& operator=(const BelowAvx3&) = delete;

 private:
  static void set(std::int64_t targets) {
    hwy::SetSupportedTargetsForTest(targets);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

struct Case {
  std::int64_t rows, keys, heads, kv_heads, head_dim;
  bool causal, self;
  std::int64_t first_visible = 1;
  std::int64_t parts = 1;
};

// Values as fp32 that `type` can hold, and the same in storage of that type.
struct Tensor {
  Tensor(std::int64_t size, Element type, std::uint64_t stream) : element(type), value(size), storage(size * 4) {
    const RandomStream random(7, stream);
    for (std::int64_t i = 0; i < size; ++i) value[i] = 1.5f * random.unit(static_cast<std::uint64_t>(i));
    store();
  }
  void store() {
    for (std::int64_t i = 0; i < value.size(); ++i) {
      if (element == Element::bf16) {
        const Bf16 narrow = to_bf16(value[i]);
        value[i] = from_bf16(narrow);
        std::memcpy(storage.data() + i * 2, &narrow, 2);
      } else {
        std::memcpy(storage.data() + i * 4, &value[i], 4);
      }
    }
  }
  const void* at(std::int64_t i) const { return storage.data() + i * element_bytes(element); }

  Element element;
  Buffer<float> value;
  Buffer<std::byte> storage;
};

void poison(void* memory, std::int64_t bytes) {
  if (bytes > 0) std::memset(memory, 0xff, static_cast<std::size_t>(bytes));  // NaN in fp32 and in bf16
}

struct Data {
  explicit Data(const Case& c, Types t = {})
      : types(t),
        shape{c.kv_heads, c.head_dim, c.keys, t.block},
        dim(c.heads * c.head_dim),
        kv_dim(c.kv_heads * c.head_dim),
        q(c.rows * dim, t.element, 0),
        // Values that the block can hold, so that float64 sees what the kernel sees.
        k(c.keys * kv_dim, t.block, 1),
        v(c.keys * kv_dim, t.block, 2),
        self_k(c.rows * kv_dim, t.element, 3),
        self_v(c.rows * kv_dim, t.element, 4),
        keys(shape.key_bytes()),
        values(shape.value_bytes()) {
    pack();
  }
  void pack() {
    poison(keys.data(), keys.size());
    poison(values.data(), values.size());
    pack_kv(shape, k.element, k.at(0), v.at(0), kv_dim, 0, shape.capacity, 0, shape.kv_heads, keys.data(),
            values.data());
  }

  Types types;
  KvShape shape;
  std::int64_t dim, kv_dim;
  Tensor q, k, v, self_k, self_v;
  Buffer<std::byte> keys, values;
};

AttentionArgs args_of(const Case& c, const Data& data, void* out) {
  AttentionArgs args;
  args.element = data.types.element;
  args.heads = c.heads;
  args.q = data.q.at(0);
  args.q_stride = data.dim;
  args.rows = c.rows;
  args.kv = {data.shape, data.keys.data(), data.values.data()};
  args.keys = c.keys;
  args.causal = c.causal;
  args.first_visible = c.first_visible;
  if (c.self) {
    args.self_k = data.self_k.at(0);
    args.self_v = data.self_v.at(0);
    args.self_stride = data.kv_dim;
  }
  args.out = out;
  args.out_stride = data.dim;
  args.parts = c.parts;
  return args;
}

// Scratch and partial states start as NaN: nothing may be read that was not written.
void run(AttentionArgs args, int threads) {
  const std::int64_t per_thread = (attention_scratch_floats(args.kv.shape) + 15) / 16 * 16;
  Buffer<float> scratch(per_thread * threads);
  Buffer<float> partial(attention_partial_floats(args));
  poison(scratch.data(), scratch.size() * 4);
  poison(partial.data(), partial.size() * 4);
  args.partial = partial.data();
  parallel_for(threads, attention_tasks(args), [&](std::int64_t task, int thread) {
    attention_task(args, task, scratch.data() + thread * per_thread);
  });
  parallel_for(threads, attention_merges(args), [&](std::int64_t merge, int) { attention_merge(args, merge); });
}

// The output as fp32.
std::vector<float> outputs(const Case& c, const Data& data, int threads = 1) {
  const std::int64_t size = c.rows * data.dim;
  Buffer<std::byte> out(size * 4);
  poison(out.data(), out.size());
  run(args_of(c, data, out.data()), threads);
  std::vector<float> result(static_cast<std::size_t>(size));
  for (std::int64_t i = 0; i < size; ++i) {
    float& value = result[static_cast<std::size_t>(i)];
    if (data.types.element == Element::f32) {
      std::memcpy(&value, out.data() + i * 4, 4);
    } else {
      Bf16 narrow;
      std::memcpy(&narrow, out.data() + i * 2, 2);
      value = from_bf16(narrow);
    }
  }
  return result;
}

// Output of (row, head) in float64 and a bound on a kernel's error, to first order in u = eps/2. With n keys of which
// the largest sum |q k|/sqrt(head_dim) is A, in T tiles and P parts:
//  * scores: head_dim + 5 roundings of at most A (products, scale and its constant), the difference to the maximum one
//    of at most 2A, the exponential at most 3u. So p is wrong by u((head_dim + 7)A + 3) relatively, in numerator and
//    denominator: eps((head_dim + 7)A + 3) * w with w = sum p|v|;
//  * sums: n roundings in numerator and denominator each: eps * n * w;
//  * each tile rescales both once (factor 3u, product u): eps * 4T * w; each merge twice that: eps * 8P * w;
//  * division: 2 roundings, in eps * w.
// With native bf16 products the exponential is good to 8.6e-5 and p_j then rounded, together p_j(1 + e_j) with
// |e_j| <= E = 2^-8 + 9e-5, in numerator and denominator alike, which moves the result by
// sum p_j e_j (v_j - out)/sum p_j(1 + e_j), at most E/(1-E) * sum p_j|v_j - out|. A bf16 output is
// rounded once more, by U|out|.
struct Exact {
  std::vector<double> value, bound;
};
Exact exact(const Case& c, const Data& data, std::int64_t row, std::int64_t head) {
  const std::int64_t kv = head / (c.heads / c.kv_heads) * c.head_dim;
  const std::int64_t visible = c.causal ? std::min(c.keys, c.first_visible + row) : c.keys;
  std::vector<const float*> keys, values;
  for (std::int64_t j = 0; j < visible; ++j) {
    keys.push_back(data.k.value.data() + j * data.kv_dim + kv);
    values.push_back(data.v.value.data() + j * data.kv_dim + kv);
  }
  if (c.self) {
    keys.push_back(data.self_k.value.data() + row * data.kv_dim + kv);
    values.push_back(data.self_v.value.data() + row * data.kv_dim + kv);
  }
  const float* q = data.q.value.data() + row * data.dim + head * c.head_dim;
  std::vector<double> p;
  double top = -INFINITY, sum = 0, absolute = 0;
  for (const float* k : keys) {
    double dot = 0, magnitude = 0;
    for (std::int64_t i = 0; i < c.head_dim; ++i) {
      dot += static_cast<double>(q[i]) * k[i];
      magnitude += std::abs(static_cast<double>(q[i]) * k[i]);
    }
    p.push_back(dot / std::sqrt(static_cast<double>(c.head_dim)));
    absolute = std::max(absolute, magnitude / std::sqrt(static_cast<double>(c.head_dim)));
    top = std::max(top, p.back());
  }
  for (double& value : p) sum += value = std::exp(value - top);
  Exact result{std::vector<double>(static_cast<std::size_t>(c.head_dim)), {}};
  std::vector<double> weight(result.value.size()), spread(result.value.size());
  for (std::size_t j = 0; j < p.size(); ++j) {
    for (std::size_t i = 0; i < weight.size(); ++i) {
      result.value[i] += p[j] / sum * static_cast<double>(values[j][i]);
      weight[i] += p[j] / sum * std::abs(static_cast<double>(values[j][i]));
    }
  }
  for (std::size_t j = 0; j < p.size(); ++j) {
    for (std::size_t i = 0; i < weight.size(); ++i) {
      spread[i] += p[j] / sum * std::abs(static_cast<double>(values[j][i]) - result.value[i]);
    }
  }
  const double count = static_cast<double>(keys.size());
  const double tiles = std::ceil(count / static_cast<double>(kKeyTile));
  const double steps =
      count + 4 * tiles + 8 * static_cast<double>(c.parts) + 8 + static_cast<double>(c.head_dim + 7) * absolute;
  const bool bf16 = data.types.element == Element::bf16;
  const bool native = bf16 && data.types.block == Element::bf16 && data.types.native && bf16_dot_supported();
  for (std::size_t i = 0; i < weight.size(); ++i) {
    double bound = kEps * steps * weight[i];
    if (native) bound += kBf16P / (1 - kBf16P) * spread[i];
    if (bf16) bound += kBf16Unit * (std::abs(result.value[i]) + bound);
    result.bound.push_back(bound + 1e-30);
  }
  return result;
}

// All outputs against float64; stops at the first that is off.
void check_against_exact(Case c, const Data& data, std::initializer_list<std::int64_t> parts = {1}) {
  for (const std::int64_t count : parts) {
    c.parts = count;
    const std::vector<float> out = outputs(c, data);
    for (std::int64_t row = 0; row < c.rows; ++row) {
      for (std::int64_t head = 0; head < c.heads; ++head) {
        const Exact truth = exact(c, data, row, head);
        for (std::int64_t i = 0; i < c.head_dim; ++i) {
          const auto at = static_cast<std::size_t>(i);
          const auto place = static_cast<std::size_t>(row * data.dim + head * c.head_dim + i);
          const double error = std::abs(static_cast<double>(out[place]) - truth.value[at]);
          if (!(error <= truth.bound[at])) {
            CAPTURE(c.rows, c.keys, c.heads, c.kv_heads, c.head_dim, c.causal, c.self, c.parts, row, head, i);
            CAPTURE(static_cast<int>(data.types.block), static_cast<int>(data.types.element), data.types.native);
            CHECK(error <= truth.bound[at]);
            return;
          }
        }
      }
    }
  }
  CHECK(c.rows > 0);
}

// Runs `body` with each combination of types, once more below AVX3 where that matters.
template <typename Body>
void for_each_types(const Body& body) {
  for (const Types& types : kTypes) {
    if (types.native) {
      body(types);
    } else {
      const BelowAvx3 below;
      CHECK(!bf16_dot_supported());
      body(types);
    }
  }
}

}  // namespace

TEST_CASE("attention equals float64 within its derived bound at odd sizes, in all types", "[kernels][attention]") {
  for_each_types([](const Types& types) {
    for (const std::int64_t head_dim : {1, 7, 16, 64, 65}) {
      for (const std::int64_t keys : {0, 1, 63, 64, 65, 255, 256, 257, 600}) {
        for (const std::int64_t rows : {1, 7, 24, 25}) {
          const Case with_self{rows, keys, 2, 1, head_dim, false, true};
          check_against_exact(with_self, Data(with_self, types));
          if (keys == 0) continue;
          const Case without{rows, keys, 2, 2, head_dim, false, false};
          check_against_exact(without, Data(without, types));
        }
      }
    }
  });
}

TEST_CASE("causal attention equals float64 within its derived bound, in all types", "[kernels][attention]") {
  for_each_types([](const Types& types) {
    for (const std::int64_t head_dim : {7, 32, 65}) {
      for (const std::int64_t keys : {1, 7, 63, 64, 65, 257, 300}) {
        const Case c{keys, keys, 2, 2, head_dim, true, false};
        check_against_exact(c, Data(c, types));
      }
    }
  });
}

TEST_CASE("attention in parts equals float64 within its derived bound, in all types", "[kernels][attention]") {
  for_each_types([](const Types& types) {
    for (const std::int64_t keys : {1, 255, 256, 257, 600, 1025}) {
      for (const std::int64_t rows : {1, 7, 25}) {
        const Case all{rows, keys, 2, 2, 17, false, rows == 7};
        check_against_exact(all, Data(all, types), {1, 2, 3, 7});
        // A few rows appended to a long cache: the last key is the last row's own.
        if (keys < rows) continue;
        const Case append{rows, keys, 2, 1, 17, true, false, keys - rows + 1};
        check_against_exact(append, Data(append, types), {1, 2, 3, 7});
      }
    }
    const Case nothing{5, 0, 2, 2, 17, false, true};
    check_against_exact(nothing, Data(nothing, types), {1, 2, 3});
  });
}

TEST_CASE("how many parts there are depends on heads and keys alone", "[kernels][attention]") {
  for (const std::int64_t keys : {0, 1, 512, 1023}) CHECK(attention_parts(1, keys) == 1);
  CHECK(attention_parts(1, 1024) == 2);
  CHECK(attention_parts(4, 2000) == 3);
  CHECK(attention_parts(12, 100000) == 2);
  CHECK(attention_parts(1, 100000) == 16);
  CHECK(attention_parts(16, 100000) == 1);
}

TEST_CASE("grouped heads read their own key-value head", "[kernels][attention]") {
  for_each_types([](const Types& types) {
    for (const std::int64_t kv_heads : {1, 2, 3, 6}) {
      const Case all{13, 70, 6, kv_heads, 20, false, true}, causal{70, 70, 6, kv_heads, 20, true, false};
      check_against_exact(all, Data(all, types));
      check_against_exact(causal, Data(causal, types));
    }
  });
}

TEST_CASE("a causal block may start in the middle of the sequence", "[kernels][attention]") {
  for_each_types([](const Types& types) {
    for (const std::int64_t first : {1, 40, 99, 300}) {
      const Case c{30, 300, 2, 2, 16, true, false, first};
      check_against_exact(c, Data(c, types));
    }
  });
}

TEST_CASE("with no cached keys a row attends to itself alone", "[kernels][attention]") {
  for_each_types([](const Types& types) {
    const Case c{5, 0, 2, 2, 8, false, true};
    const Data data(c, types);
    const std::vector<float> out = outputs(c, data);
    for (std::size_t i = 0; i < out.size(); ++i) CHECK(out[i] == data.self_v.value[static_cast<std::int64_t>(i)]);
  });
}

TEST_CASE("attention is bit-identical for any number of threads and any rows beside", "[kernels][attention]") {
  for_each_types([](const Types& types) {
    for (const std::int64_t parts : {1, 3}) {
      Case c{50, 777, 3, 3, 33, false, true, 1, parts};
      const Data data(c, types);
      const std::vector<float> one = outputs(c, data);
      for (const int threads : {2, 3, 7}) CHECK(outputs(c, data, threads) == one);
      c.rows = 31;
      const std::vector<float> fewer = outputs(c, data);
      CHECK(std::equal(fewer.begin(), fewer.end(), one.begin()));
    }
  });
}

TEST_CASE("large and masked scores stay finite and exact", "[kernels][attention]") {
  // One key far above the rest takes all the weight; those below 2^-127 of it must be exactly nothing. In the first key
  // tile, or in a later one that has to raise the reference: by 150, which would overflow, or by 47000.
  for_each_types([](const Types& types) {
    const Case c{3, 600, 1, 1, 16, false, false};
    for (const std::int64_t key : {77, 577}) {
      for (const float size : {26.0f, 8192.0f}) {
        Data data(c, types);
        std::fill_n(data.k.value.data(), data.k.value.size(), 0.0f);
        for (std::int64_t i = 0; i < 16; ++i) data.k.value[key * 16 + i] = size;
        std::fill_n(data.q.value.data(), data.q.value.size(), 1.0f);
        data.k.store();
        data.q.store();
        data.pack();
        const std::vector<float> out = outputs(c, data);
        for (std::int64_t row = 0; row < c.rows; ++row) {
          for (std::int64_t i = 0; i < 16; ++i) {
            // p of the maximum may be off 1 by the rounding of its score; p*v/p is then v within two roundings, and a
            // bf16 output is rounded once more.
            const double v = static_cast<double>(data.v.value[key * 16 + i]);
            const double got = static_cast<double>(out[static_cast<std::size_t>(row * 16 + i)]);
            CHECK(std::abs(got - v) <= (types.element == Element::bf16 ? kBf16Unit + kEps : kEps) * std::abs(v));
          }
        }
      }
    }
  });
}

TEST_CASE("a value that all keys share comes out unchanged, though p is rounded", "[kernels][attention]") {
  // The sum that normalises is that of the rounded p. All p but the first are 0.5022, which bf16 makes 0.5039. Were the
  // sum that of the exact p, the result would be off by 0.33%, more than half the distance to the next bf16, 0.2%.
  const Case c{4, 101, 1, 1, 16, false, false};
  for (const bool native : {false, true}) {
    Data data(c, {Element::bf16, Element::bf16, native});
    std::fill_n(data.q.value.data(), data.q.value.size(), 0.0f);
    std::fill_n(data.k.value.data(), data.k.value.size(), 0.0f);
    std::fill_n(data.v.value.data(), data.v.value.size(), 1.9921875f);
    for (std::int64_t row = 0; row < c.rows; ++row) data.q.value[row * 16] = 1.3828125f;
    data.k.value[0] = 1.9921875f;
    data.q.store();
    data.k.store();
    data.v.store();
    data.pack();
    for (const float value : outputs(c, data)) CHECK(value == 1.9921875f);
  }
}

TEST_CASE("outputs are rounded to the nearest bf16, halves to even", "[kernels][attention]") {
  // Of one key p is 1 and the output its value. Random values are hardly ever halves.
  const Case c{1, 1, 1, 1, 67, false, false};
  Data data(c, {Element::f32, Element::bf16});
  for (std::uint32_t i = 0; i < 67; ++i) {
    data.v.value[i] = std::bit_cast<float>(0x3F800000u + i * 0x8000u + i % 3 - 1);
  }
  data.v.store();
  data.pack();
  const std::vector<float> out = outputs(c, data);
  for (std::int64_t i = 0; i < 67; ++i) {
    CHECK(out[static_cast<std::size_t>(i)] == from_bf16(to_bf16(data.v.value[i])));
  }
}

TEST_CASE("merging the states of any split equals softmax over the whole", "[kernels][attention]") {
  constexpr std::int64_t kKeys = 200, kDim = 3;
  const RandomStream random(7, 9);
  std::vector<float> score(kKeys), value(kKeys * kDim);
  for (std::size_t i = 0; i < score.size(); ++i) score[i] = 6 * random.unit(i);
  for (std::size_t i = 0; i < value.size(); ++i) value[i] = random.unit(1000 + i);
  struct State {
    float o[kDim] = {0, 0, 0}, m = -std::numeric_limits<float>::infinity(), d = 0;
  };
  const auto state_of = [&](std::size_t first, std::size_t last) {
    State state;
    for (std::size_t j = first; j < last; ++j) state.m = std::max(state.m, score[j]);
    for (std::size_t j = first; j < last; ++j) {
      const float p = std::exp2(score[j] - state.m);
      state.d += p;
      for (std::size_t i = 0; i < kDim; ++i) state.o[i] += p * value[j * kDim + i];
    }
    return state;
  };
  for (const std::size_t split : {0, 1, 64, 100, 199, 200}) {
    State merged = state_of(0, split);
    const State second = state_of(split, kKeys);
    merge_states(merged.o, &merged.m, &merged.d, second.o, second.m, second.d, kDim);
    for (std::size_t i = 0; i < kDim; ++i) {
      double sum = 0, weighted = 0, size = 0;
      for (std::size_t j = 0; j < kKeys; ++j) {
        const double p = std::exp2(static_cast<double>(score[j])), v = static_cast<double>(value[j * kDim + i]);
        sum += p;
        weighted += p * v;
        size += p * std::abs(v);
      }
      // Two sums of up to 200 terms and a merge, and exp2 of a difference of up to 12 that was rounded itself.
      const double got = static_cast<double>(merged.o[i]) / static_cast<double>(merged.d);
      CHECK(std::abs(got - weighted / sum) <= kEps * (2 * kKeys + 20) * size / sum);
    }
  }
}

TEST_CASE("an empty attention state is the identity, also against another", "[kernels][attention]") {
  const float minus_infinity = -std::numeric_limits<float>::infinity();
  float o[2] = {3, 4}, zero[2] = {0, 0}, m = 1.5f, d = 2;
  merge_states(o, &m, &d, zero, minus_infinity, 0, 2);
  CHECK((o[0] == 3 && o[1] == 4 && m == 1.5f && d == 2));
  float empty[2] = {0, 0}, em = minus_infinity, ed = 0;
  merge_states(empty, &em, &ed, o, m, d, 2);
  CHECK((empty[0] == 3 && empty[1] == 4 && em == 1.5f && ed == 2));
  float both[2] = {0, 0}, bm = minus_infinity, bd = 0;
  merge_states(both, &bm, &bd, zero, minus_infinity, 0, 2);
  CHECK((both[0] == 0 && bd == 0 && bm == minus_infinity));
}

TEST_CASE("packed elements lie where the layout says, from either type into either", "[kernels][attention]") {
  for (const Element from : {Element::f32, Element::bf16}) {
    for (const Element to : {Element::f32, Element::bf16}) {
      for (const std::int64_t dim : {1, 8, 9}) {
        const std::int64_t count = 151, heads = 2;
        const KvShape shape{heads, dim, count + 10, to};
        const Tensor k(count * heads * dim, from, 1), v(count * heads * dim, from, 2);
        Buffer<std::byte> keys(shape.key_bytes()), values(shape.value_bytes());
        poison(keys.data(), keys.size());
        poison(values.data(), values.size());
        pack_kv(shape, from, k.at(0), v.at(0), heads * dim, 0, count, 0, heads, keys.data(), values.data());
        const auto narrowed = [to](float x) { return to == Element::f32 ? x : from_bf16(to_bf16(x)); };
        const auto read = [to](const std::byte* base, std::int64_t at) {
          if (to == Element::f32) {
            float x;
            std::memcpy(&x, base + at * 4, 4);
            return x;
          }
          Bf16 x;
          std::memcpy(&x, base + at * 2, 2);
          return from_bf16(x);
        };
        bool same = true;
        for (std::int64_t h = 0; h < heads; ++h) {
          const std::byte* key_head = keys.data() + h * shape.key_bytes_per_head();
          const std::byte* value_head = values.data() + h * shape.value_bytes_per_head();
          for (std::int64_t j = 0; j < count; ++j) {
            for (std::int64_t i = 0; i < dim; ++i) {
              const std::int64_t key_at = to == Element::f32
                                              ? (j / 64 * dim + i) * 64 + j % 64
                                              : ((j / 64 * ((dim + 1) / 2) + i / 2) * 64 + j % 64) * 2 + i % 2;
              const std::int64_t value_at = to == Element::f32 ? j * 16 + i : (j / 2 * 16 + i) * 2 + j % 2;
              same = same && read(key_head, key_at) == narrowed(k.value[(j * heads + h) * dim + i]);
              same = same && read(value_head, value_at) == narrowed(v.value[(j * heads + h) * dim + i]);
            }
            if (to == Element::bf16 && dim % 2 != 0) {
              same = same && read(key_head, ((j / 64 * ((dim + 1) / 2) + dim / 2) * 64 + j % 64) * 2 + 1) == 0;
            }
          }
          if (to == Element::bf16) {
            for (std::int64_t i = 0; i < dim; ++i) same = same && read(value_head, (count / 2 * 16 + i) * 2 + 1) == 0;
          }
        }
        CAPTURE(static_cast<int>(from), static_cast<int>(to), dim);
        CHECK(same);
      }
    }
  }
}

TEST_CASE("packing in pieces equals packing at once, also at odd keys", "[kernels][attention]") {
  for (const Element from : {Element::f32, Element::bf16}) {
    for (const Element to : {Element::f32, Element::bf16}) {
      for (const std::int64_t step : {1, 2, 37, 64, 65}) {
        const std::int64_t count = 151, dim = 9, kv_dim = 2 * dim;
        const KvShape shape{2, dim, count, to};
        const Tensor k(count * kv_dim, from, 1), v(count * kv_dim, from, 2);
        Buffer<std::byte> whole_k(shape.key_bytes()), whole_v(shape.value_bytes());
        Buffer<std::byte> keys(shape.key_bytes()), values(shape.value_bytes());
        for (Buffer<std::byte>* buffer : {&whole_k, &whole_v, &keys, &values}) poison(buffer->data(), buffer->size());
        pack_kv(shape, from, k.at(0), v.at(0), kv_dim, 0, count, 0, 2, whole_k.data(), whole_v.data());
        for (std::int64_t first = 0; first < count; first += step) {
          for (const std::int64_t head : {1, 0}) {
            pack_kv(shape, from, k.at(first * kv_dim), v.at(first * kv_dim), kv_dim, first,
                    std::min(step, count - first), head, head + 1, keys.data(), values.data());
          }
        }
        // Every byte, with the poison of what is never written.
        CHECK(std::equal(keys.span().begin(), keys.span().end(), whole_k.span().begin()));
        CHECK(std::equal(values.span().begin(), values.span().end(), whole_v.span().begin()));
      }
    }
  }
}

TEST_CASE("bf16 rounds to nearest even and keeps NaN and infinity", "[kernels][attention]") {
  CHECK(to_bf16(1.0f) == 0x3f80);
  CHECK(from_bf16(0x3f80) == 1.0f);
  CHECK(to_bf16(1.0f + 1.0f / 256) == 0x3f80);          // a tie goes to the even neighbour below
  CHECK(to_bf16(1.0f + 3.0f / 256) == 0x3f82);          // and above
  CHECK(to_bf16(1.0f + 1.0f / 256 + 1e-6f) == 0x3f81);  // past the tie
  CHECK(to_bf16(-INFINITY) == 0xff80);
  CHECK(to_bf16(std::numeric_limits<float>::max()) == 0x7f80);
  CHECK(std::isnan(from_bf16(to_bf16(std::bit_cast<float>(0x7f800001u)))));
  CHECK(std::isnan(from_bf16(to_bf16(std::bit_cast<float>(0xffffffffu)))));
}
