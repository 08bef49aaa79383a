#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/buffer.h"
#include "base/parallel.h"
#include "base/random.h"
#include "catch.h"

using namespace kvcast;
using namespace kvcast::kernels;

namespace {

constexpr double kEps = std::numeric_limits<float>::epsilon();

struct Case {
  std::int64_t rows, keys, heads, kv_heads, head_dim;
  bool causal, self;
  std::int64_t first_visible = 1;
};

struct Data {
  explicit Data(const Case& c)
      : shape{c.kv_heads, c.head_dim, c.keys},
        dim(c.heads * c.head_dim),
        kv_dim(c.kv_heads * c.head_dim),
        q(c.rows * dim),
        k(c.keys * kv_dim),
        v(c.keys * kv_dim),
        self_k(c.rows * kv_dim),
        self_v(c.rows * kv_dim),
        keys(shape.key_floats()),
        values(shape.value_floats()) {
    std::uint64_t stream = 0;
    for (Buffer<float>* buffer : {&q, &k, &v, &self_k, &self_v}) {
      const RandomStream random(7, stream++);
      for (std::int64_t i = 0; i < buffer->size(); ++i)
        (*buffer)[i] = 1.5f * random.unit(static_cast<std::uint64_t>(i));
    }
    // Padding may hold anything: make it poison.
    std::fill_n(keys.data(), keys.size(), std::numeric_limits<float>::quiet_NaN());
    std::fill_n(values.data(), values.size(), std::numeric_limits<float>::quiet_NaN());
    pack_kv(shape, k.data(), v.data(), kv_dim, 0, c.keys, 0, c.kv_heads, keys.data(), values.data());
    // The columns between head_dim and the row stride of V take part in products whose results are dropped.
    for (std::int64_t h = 0; h < c.kv_heads; ++h) {
      for (std::int64_t j = 0; j < c.keys; ++j) {
        float* row = values.data() + h * shape.value_floats_per_head() + j * shape.value_stride();
        std::fill(row + c.head_dim, row + shape.value_stride(), 0.0f);
      }
    }
  }

  KvShape shape;
  std::int64_t dim, kv_dim;
  Buffer<float> q, k, v, self_k, self_v, keys, values;
};

AttentionArgs args_of(const Case& c, const Data& data, float* out) {
  AttentionArgs args;
  args.heads = c.heads;
  args.q = data.q.data();
  args.q_stride = data.dim;
  args.rows = c.rows;
  args.kv = {data.shape, data.keys.data(), data.values.data()};
  args.keys = c.keys;
  args.causal = c.causal;
  args.first_visible = c.first_visible;
  if (c.self) {
    args.self_k = data.self_k.data();
    args.self_v = data.self_v.data();
    args.self_stride = data.kv_dim;
  }
  args.out = out;
  args.out_stride = data.dim;
  return args;
}

void run(const AttentionArgs& args, int threads) {
  const std::int64_t per_thread = (attention_scratch_floats(args.kv.shape.head_dim) + 15) / 16 * 16;
  Buffer<float> scratch(per_thread * threads);
  parallel_for(threads, attention_tasks(args), [&](std::int64_t task, int thread) {
    attention_task(args, task, scratch.data() + thread * per_thread);
  });
}

// Output of (row, head) in float64 and the bound eps·(tile + L/tile)·Σ p|v| of docs/model.md §7, to which the rounding
// of scores adds: a score of magnitude s is wrong by eps·(head_dim + 2)·Σ|q k|, and p by as much relatively.
struct Exact {
  std::vector<double> value, bound;
};
Exact exact(const Case& c, const Data& data, std::int64_t row, std::int64_t head) {
  const std::int64_t kv = head / (c.heads / c.kv_heads) * c.head_dim;
  const std::int64_t visible = c.causal ? std::min(c.keys, c.first_visible + row) : c.keys;
  std::vector<const float*> keys, values;
  for (std::int64_t j = 0; j < visible; ++j) {
    keys.push_back(data.k.data() + j * data.kv_dim + kv);
    values.push_back(data.v.data() + j * data.kv_dim + kv);
  }
  if (c.self) {
    keys.push_back(data.self_k.data() + row * data.kv_dim + kv);
    values.push_back(data.self_v.data() + row * data.kv_dim + kv);
  }
  const float* q = data.q.data() + row * data.dim + head * c.head_dim;
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
  std::vector<double> weight(result.value.size());
  for (std::size_t j = 0; j < p.size(); ++j) {
    for (std::size_t i = 0; i < weight.size(); ++i) {
      result.value[i] += p[j] / sum * static_cast<double>(values[j][i]);
      weight[i] += p[j] / sum * std::abs(static_cast<double>(values[j][i]));
    }
  }
  const double blocks = static_cast<double>(kKeyTile) + static_cast<double>(c.keys) / static_cast<double>(kKeyTile);
  for (const double w : weight) {
    result.bound.push_back(kEps * (blocks + static_cast<double>(c.head_dim + 2) * absolute) * w + 1e-30);
  }
  return result;
}

void check_against_exact(const Case& c) {
  const Data data(c);
  Buffer<float> out(c.rows * data.dim);
  run(args_of(c, data, out.data()), 1);
  for (std::int64_t row = 0; row < c.rows; ++row) {
    for (std::int64_t head = 0; head < c.heads; ++head) {
      const Exact truth = exact(c, data, row, head);
      for (std::int64_t i = 0; i < c.head_dim; ++i) {
        const auto at = static_cast<std::size_t>(i);
        const double error =
            std::abs(static_cast<double>(out[row * data.dim + head * c.head_dim + i]) - truth.value[at]);
        if (!(error <= truth.bound[at])) {
          CAPTURE(c.rows, c.keys, c.heads, c.kv_heads, c.head_dim, c.causal, c.self, row, head, i);
          CHECK(error <= truth.bound[at]);
          return;
        }
      }
    }
  }
  CHECK(c.rows > 0);
}

}  // namespace

TEST_CASE("attention equals float64 within its derived bound at odd sizes", "[kernels][attention]") {
  for (const std::int64_t head_dim : {1, 7, 16, 32, 63, 64, 65, 80}) {
    for (const std::int64_t keys : {1, 7, 63, 64, 65, 257, 300}) {
      for (const std::int64_t rows : {1, 5, 24, 25, 63}) {
        check_against_exact({rows, keys, 2, 2, head_dim, false, false});
        check_against_exact({rows, keys, 2, 1, head_dim, false, true});
      }
      check_against_exact({keys, keys, 2, 2, head_dim, true, false});
    }
  }
}

TEST_CASE("grouped heads read their own key-value head", "[kernels][attention]") {
  for (const std::int64_t kv_heads : {1, 2, 3, 6}) {
    check_against_exact({13, 70, 6, kv_heads, 20, false, true});
    check_against_exact({70, 70, 6, kv_heads, 20, true, false});
  }
}

TEST_CASE("a causal block may start in the middle of the sequence", "[kernels][attention]") {
  for (const std::int64_t first : {1, 40, 99, 300}) {
    check_against_exact({30, 300, 2, 2, 16, true, false, first});
  }
}

TEST_CASE("with no cached keys a row attends to itself alone", "[kernels][attention]") {
  const Case c{5, 0, 2, 2, 8, false, true};
  const Data data(c);
  Buffer<float> out(c.rows * data.dim);
  run(args_of(c, data, out.data()), 1);
  for (std::int64_t i = 0; i < out.size(); ++i) CHECK(out[i] == data.self_v[i]);
}

TEST_CASE("attention is bit-identical for any number of threads and any rows beside", "[kernels][attention]") {
  const Case c{50, 333, 3, 3, 33, false, true};
  const Data data(c);
  Buffer<float> one(c.rows * data.dim);
  run(args_of(c, data, one.data()), 1);
  for (const int threads : {2, 3, 7}) {
    Buffer<float> many(c.rows * data.dim);
    run(args_of(c, data, many.data()), threads);
    CHECK(std::equal(one.span().begin(), one.span().end(), many.span().begin()));
  }
  Buffer<float> fewer(c.rows * data.dim);
  AttentionArgs args = args_of(c, data, fewer.data());
  args.rows = 31;
  run(args, 1);
  CHECK(std::equal(one.data(), one.data() + 31 * data.dim, fewer.data()));
}

TEST_CASE("large and masked scores stay finite and exact", "[kernels][attention]") {
  // One key far above the rest takes all the weight; those below 2^-127 of it must be exactly nothing.
  Case c{3, 130, 1, 1, 16, false, false};
  Data data(c);
  std::fill_n(data.k.data(), data.k.size(), 0.0f);
  for (std::int64_t i = 0; i < 16; ++i) data.k[77 * 16 + i] = 1e4f;
  std::fill_n(data.q.data(), data.q.size(), 1.0f);
  pack_kv(data.shape, data.k.data(), data.v.data(), data.kv_dim, 0, c.keys, 0, 1, data.keys.data(), data.values.data());
  Buffer<float> out(c.rows * data.dim);
  run(args_of(c, data, out.data()), 1);
  for (std::int64_t row = 0; row < c.rows; ++row) {
    for (std::int64_t i = 0; i < 16; ++i) CHECK(out[row * 16 + i] == data.v[77 * 16 + i]);
  }
}

TEST_CASE("merging the states of any split equals attention over the whole", "[kernels][attention]") {
  const Case c{4, 200, 2, 2, 24, false, false};
  const Data data(c);
  Buffer<float> whole(c.rows * data.dim);
  run(args_of(c, data, whole.data()), 1);
  for (const std::int64_t split : {0, 1, 64, 100, 199, 200}) {
    Buffer<float> o1(c.rows * data.dim), o2(c.rows * data.dim);
    std::vector<float> m1(8), d1(8), m2(8), d2(8);
    const auto part = [&](std::int64_t first, std::int64_t count, Buffer<float>& o, std::vector<float>& m,
                          std::vector<float>& d) {
      Case piece = c;
      piece.keys = count;
      const KvShape shape{c.kv_heads, c.head_dim, count};
      Buffer<float> keys(shape.key_floats()), values(shape.value_floats());
      pack_kv(shape, data.k.data() + first * data.kv_dim, data.v.data() + first * data.kv_dim, data.kv_dim, 0, count, 0,
              c.kv_heads, keys.data(), values.data());
      AttentionArgs args = args_of(piece, data, o.data());
      args.kv = {shape, keys.data(), values.data()};
      args.state_max = m.data();
      args.state_sum = d.data();
      run(args, 1);
    };
    part(0, split, o1, m1, d1);
    part(split, c.keys - split, o2, m2, d2);
    for (std::size_t s = 0; s < 8; ++s) {
      const auto offset = static_cast<std::int64_t>(s) * c.head_dim;
      merge_states(o1.data() + offset, &m1[s], &d1[s], o2.data() + offset, m2[s], d2[s], c.head_dim);
      const Exact truth = exact(c, data, static_cast<std::int64_t>(s) / 2, static_cast<std::int64_t>(s) % 2);
      for (std::int64_t i = 0; i < c.head_dim; ++i) {
        const double merged = o1[offset + i] / d1[s];
        CHECK(std::abs(merged - truth.value[static_cast<std::size_t>(i)]) <= truth.bound[static_cast<std::size_t>(i)]);
      }
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

TEST_CASE("packing in pieces equals packing at once", "[kernels][attention]") {
  const Case c{1, 150, 2, 2, 9, false, false};
  const Data data(c);
  Buffer<float> keys(data.shape.key_floats()), values(data.shape.value_floats());
  for (std::int64_t first = 0; first < c.keys; first += 37) {
    const std::int64_t count = std::min<std::int64_t>(37, c.keys - first);
    pack_kv(data.shape, data.k.data() + first * data.kv_dim, data.v.data() + first * data.kv_dim, data.kv_dim, first,
            count, 0, 2, keys.data(), values.data());
  }
  for (std::int64_t j = 0; j < c.keys; ++j) {
    for (std::int64_t h = 0; h < 2; ++h) {
      for (std::int64_t i = 0; i < 9; ++i) {
        const std::int64_t at = h * data.shape.key_floats_per_head() + (j / 64 * 9 + i) * 64 + j % 64;
        CHECK(keys[at] == data.k[j * data.kv_dim + h * 9 + i]);
        CHECK(values[h * data.shape.value_floats_per_head() + j * 16 + i] == data.v[j * data.kv_dim + h * 9 + i]);
      }
    }
  }
}
