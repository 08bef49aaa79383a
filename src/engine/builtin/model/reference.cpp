#include "engine/builtin/model/reference.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <utility>

#include "base/parallel.h"
#include "base/random.h"
#include "engine/builtin/kernels/attention.h"

namespace kvcast {
namespace {

constexpr double kEpsilon = 1e-5;
constexpr std::int64_t kRowsPerTask = 8;
// Of an attended pair beside its products: asking whether it is seen, and an exponential a head. Estimates, not
// measured.
constexpr double kPairFlops = 10, kHeadFlops = 20;

// Terms that a sum of the engine adds up one after the other: those of a dense product and of a head, keys by tiles,
// and a norm in vectors of four or more.
constexpr double kTile = kernels::kKeyTile, kNormLanes = 4;
// Of an exponential, and of GELU, in roundings.
constexpr double kExpRoundings = 3, kGeluRoundings = 2;

double as_bf16(double value) {
  const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
  return std::bit_cast<float>((bits + 0x7fffU + (bits >> 16 & 1U)) & 0xffff0000U);
}

// The errors of one step of one layer, element by element. A result that is rounded once is off by up to 2^-24 of it. A
// sum of n terms of random sign rounds n partial sums of growing size; that comes to sqrt(n/2) roundings of the result,
// of which one half is given to the terms, where it stays when they cancel.
class Off {
 public:
  Off() = default;  // exact
  Off(std::uint64_t seed, std::uint64_t step) : stream_(seed, step), on_(true) {}

  explicit operator bool() const { return on_; }
  static double of_sum(double terms) { return std::sqrt(1 + terms / 4); }
  // value, after `roundings` of them that each may be off by 2^-24 of `size`.
  double at(std::int64_t i, double value, double roundings, double size) const {
    constexpr double kUnit = 0x1p-24 / 1.7320508075688772;
    return value + roundings * kUnit * size * static_cast<double>(stream_.unit(static_cast<std::uint64_t>(i)));
  }
  double at(std::int64_t i, double value, double roundings) const { return at(i, value, roundings, value); }
  void all(std::vector<double>& values, double roundings) const {
    for (std::size_t i = 0; on_ && i < values.size(); ++i) {
      values[i] = at(static_cast<std::int64_t>(i), values[i], roundings);
    }
  }

 private:
  RandomStream stream_{0, 0};
  bool on_ = false;
};

class Reference {
 public:
  Reference(const ModelShape& shape, const TensorSource& source, int threads)
      : shape_(shape), source_(source), threads_(threads) {}

  bool stopped() const { return stopped_; }

  // y[rows][out] = x[rows][in] W^T + b.
  std::vector<double> dense(std::int64_t layer, Tensor weight, Tensor bias, std::vector<double> x) const {
    const TensorSize size = tensor_size(shape_, weight);
    const std::int64_t out = size.rows, in = size.columns;
    std::vector<float> w = load(layer, weight);
    const std::vector<float> b = load(layer, bias);
    if (rounds_to_bf16(shape_.element)) {
      for (float& value : w) value = static_cast<float>(as_bf16(value));
    }
    const double roundings = Off::of_sum(static_cast<double>(in));
    off(layer, weight, 0).all(x, roundings);
    // [in][out], so that the inner loop adds whole rows and needs no reordering of sums.
    std::vector<double> wt(static_cast<std::size_t>(in * out));
    for (std::int64_t o = 0; o < out; ++o) {
      for (std::int64_t i = 0; i < in; ++i) wt[at(i * out + o)] = w[at(o * in + i)];
    }
    const std::int64_t rows = static_cast<std::int64_t>(x.size()) / in;
    std::vector<double> y(static_cast<std::size_t>(rows * out));
    each((rows + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task) {
      const std::int64_t first = task * kRowsPerTask, last = std::min(rows, first + kRowsPerTask);
      for (std::int64_t r = first; r < last; ++r) {
        for (std::int64_t o = 0; o < out; ++o) y[at(r * out + o)] = b[at(o)];
      }
      for (std::int64_t i = 0; i < in; ++i) {
        const double* __restrict w_row = wt.data() + i * out;
        for (std::int64_t r = first; r < last; ++r) {
          const double value = x[at(r * in + i)];
          double* __restrict y_row = y.data() + r * out;
          for (std::int64_t o = 0; o < out; ++o) y_row[o] += value * w_row[o];
        }
      }
    });
    off(layer, weight, 1).all(y, roundings);
    return y;
  }

  std::vector<double> norm(std::int64_t layer, Tensor weight, Tensor bias, const std::vector<double>& x) const {
    const std::vector<float> w = load(layer, weight), b = load(layer, bias);
    const std::int64_t d = shape_.dim;
    const Off sums = off(layer, weight, 0);
    const double roundings = Off::of_sum(static_cast<double>(d) / kNormLanes);
    std::vector<double> y(x.size());
    for (std::int64_t r = 0; r < static_cast<std::int64_t>(x.size()) / d; ++r) {
      double mean = 0, variance = 0;
      for (std::int64_t i = 0; i < d; ++i) mean += x[at(r * d + i)];
      mean /= static_cast<double>(d);
      if (sums) {
        double squares = 0;
        for (std::int64_t i = 0; i < d; ++i) squares += x[at(r * d + i)] * x[at(r * d + i)];
        mean = sums.at(2 * r, mean, roundings, std::sqrt(squares / static_cast<double>(d)));
      }
      for (std::int64_t i = 0; i < d; ++i) variance += (x[at(r * d + i)] - mean) * (x[at(r * d + i)] - mean);
      variance /= static_cast<double>(d);
      if (sums) variance = sums.at(2 * r + 1, variance, roundings);
      const double inverse = 1 / std::sqrt(variance + kEpsilon);
      for (std::int64_t i = 0; i < d; ++i) y[at(r * d + i)] = (x[at(r * d + i)] - mean) * inverse * w[at(i)] + b[at(i)];
    }
    off(layer, weight, 1).all(y, 2);
    store(y, shape_.element);
    return y;
  }

  // Attention of the rows `queries` over the rows `keys` and the cached positions that they see. qkv has a row per key.
  // Returns [queries][dim].
  std::vector<double> attention(std::int64_t layer, const ReferenceSequence& sequence,
                                const std::vector<std::int64_t>& queries, const std::vector<std::int64_t>& keys,
                                const std::vector<double>& qkv, const ReferenceKv* cached) const {
    const std::int64_t width = shape_.qkv_dim(), hd = shape_.head_dim(), kd = shape_.kv_dim();
    const std::int64_t group = shape_.heads / shape_.kv_heads;
    const Off scores = off(layer, Tensor::out_weight, 2), weights = off(layer, Tensor::out_weight, 3);
    const double of_dot = Off::of_sum(static_cast<double>(hd));
    const bool bf16_weights = rounds_to_bf16(shape_.element) && rounds_to_bf16(shape_.kv_element);
    std::vector<double> out(queries.size() * at(shape_.dim));
    each(static_cast<std::int64_t>(queries.size()), [&](std::int64_t i) {
      const std::int64_t row = queries[at(i)];
      const double* own = nullptr;
      std::vector<const double*> k, v;
      for (std::size_t j = 0; j < keys.size(); ++j) {
        const double* of_key = qkv.data() + j * at(width);
        if (keys[j] == row) own = of_key;
        if (!sequence.sees(row, keys[j])) continue;
        k.push_back(of_key + shape_.dim);
        v.push_back(of_key + shape_.dim + kd);
      }
      for (std::size_t j = 0; cached != nullptr && j < cached->rows.size(); ++j) {
        if (!sequence.sees_cached(row, cached->rows[j])) continue;
        k.push_back(cached->k.data() + j * at(kd));
        v.push_back(cached->v.data() + j * at(kd));
      }
      std::vector<double> p(k.size());
      const auto keys_seen = static_cast<double>(k.size());
      const double of_keys = kExpRoundings + Off::of_sum(std::min(kTile, keys_seen) + keys_seen / kTile);
      for (std::int64_t h = 0; h < shape_.heads; ++h) {
        const std::int64_t kv = h / group * hd;
        const double* q = own + h * hd;
        const auto pair = [&](std::size_t j) { return ((i * shape_.heads + h) << 32) + static_cast<std::int64_t>(j); };
        double top = -INFINITY, sum = 0;
        for (std::size_t j = 0; j < k.size(); ++j) {
          double dot = 0;
          for (std::int64_t c = 0; c < hd; ++c) dot += q[c] * k[j][kv + c];
          p[j] = dot / std::sqrt(static_cast<double>(hd));
          if (scores) p[j] = scores.at(pair(j), p[j], of_dot);
          top = std::max(top, p[j]);
        }
        for (std::size_t j = 0; j < p.size(); ++j) {
          p[j] = std::exp(p[j] - top);
          if (weights) p[j] = weights.at(pair(j), p[j], of_keys);
          if (bf16_weights) p[j] = as_bf16(p[j]);
          sum += p[j];
        }
        double* o = out.data() + i * shape_.dim + h * hd;
        for (std::size_t j = 0; j < k.size(); ++j) {
          for (std::int64_t c = 0; c < hd; ++c) o[c] += p[j] / sum * v[j][kv + c];
        }
      }
    });
    weights.all(out, 2);
    store(out, shape_.element);
    return out;
  }

  // All layers over x in place; kv gets K and V of each.
  void run(const ReferenceSequence& sequence, std::vector<double>& x, std::vector<ReferenceKv>& kv) {
    stop_requested_ = sequence.stop_requested;
    rounding_ = sequence.rounding;
    const std::int64_t rows = static_cast<std::int64_t>(x.size()) / shape_.dim;
    const auto active = [&](std::int64_t layer, std::int64_t row) {
      return !sequence.active || sequence.active(layer, row);
    };
    for (std::int64_t layer = 0; layer < shape_.layers; ++layer) {
      std::vector<std::int64_t> keys, queries;
      for (std::int64_t row = 0; row < rows; ++row) {
        if (!active(layer, row)) continue;
        keys.push_back(row);
        if (layer + 1 == shape_.layers || active(layer + 1, row)) queries.push_back(row);
      }
      std::vector<double> qkv = dense(layer, Tensor::qkv_weight, Tensor::qkv_bias,
                                      norm(layer, Tensor::attn_norm_weight, Tensor::attn_norm_bias, gather(x, keys)));
      store(qkv, shape_.element);
      store_kv(qkv);
      const ReferenceKv* cached = sequence.cached == nullptr ? nullptr : &(*sequence.cached)[at(layer)];
      const std::vector<double> attended =
          dense(layer, Tensor::out_weight, Tensor::out_bias, attention(layer, sequence, queries, keys, qkv, cached));
      if (stopped_) return;
      add(x, queries, attended);
      off(layer, Tensor::out_weight, 4).all(x, 1);
      std::vector<double> hidden =
          dense(layer, Tensor::up_weight, Tensor::up_bias,
                norm(layer, Tensor::ffn_norm_weight, Tensor::ffn_norm_bias, gather(x, queries)));
      each(static_cast<std::int64_t>(queries.size()), [&](std::int64_t i) {
        for (std::int64_t f = i * shape_.ffn_dim; f < (i + 1) * shape_.ffn_dim; ++f) {
          hidden[at(f)] = 0.5 * hidden[at(f)] * (1 + std::erf(hidden[at(f)] / std::sqrt(2.0)));
        }
      });
      off(layer, Tensor::up_weight, 2).all(hidden, kGeluRoundings);
      store(hidden, shape_.element);
      const std::vector<double> ffn = dense(layer, Tensor::down_weight, Tensor::down_bias, hidden);
      if (stopped_) return;
      add(x, queries, ffn);
      off(layer, Tensor::down_weight, 2).all(x, 1);
      kv.push_back(kv_of(std::move(keys), qkv));
    }
  }

 private:
  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

  // body(task) of every task, unless told to stop.
  template <typename Body>
  void each(std::int64_t tasks, const Body& body) const {
    parallel_for(threads_, tasks, [&](std::int64_t task, int thread) {
      if (thread == 0 && stop_requested_ && stop_requested_()) stopped_ = true;
      if (!stopped_) body(task);
    });
  }

  Off off(std::int64_t layer, Tensor tensor, std::int64_t step) const {
    if (!rounding_) return {};
    const std::int64_t place =
        (layer * static_cast<std::int64_t>(kTensors.size()) + static_cast<std::int64_t>(tensor)) * 8 + step;
    return {*rounding_, static_cast<std::uint64_t>(place)};
  }
  bool rounds_to_bf16(kernels::Element element) const { return rounding_ && element == kernels::Element::bf16; }
  void store(std::vector<double>& values, kernels::Element element) const {
    if (!rounds_to_bf16(element)) return;
    for (double& value : values) value = as_bf16(value);
  }
  // K and V of every row of qkv, as the cache holds them.
  void store_kv(std::vector<double>& qkv) const {
    if (!rounds_to_bf16(shape_.kv_element)) return;
    for (std::size_t i = 0; i < qkv.size(); ++i) {
      if (i % at(shape_.qkv_dim()) >= at(shape_.dim)) qkv[i] = as_bf16(qkv[i]);
    }
  }

  ReferenceKv kv_of(std::vector<std::int64_t> rows, const std::vector<double>& qkv) const {
    ReferenceKv kv{std::move(rows), {}, {}};
    for (std::size_t i = 0; i < kv.rows.size(); ++i) {
      const double* k = qkv.data() + static_cast<std::int64_t>(i) * shape_.qkv_dim() + shape_.dim;
      kv.k.insert(kv.k.end(), k, k + shape_.kv_dim());
      kv.v.insert(kv.v.end(), k + shape_.kv_dim(), k + 2 * shape_.kv_dim());
    }
    return kv;
  }

  std::vector<double> gather(const std::vector<double>& x, const std::vector<std::int64_t>& rows) const {
    std::vector<double> picked;
    for (const std::int64_t row : rows) {
      picked.insert(picked.end(), x.begin() + row * shape_.dim, x.begin() + (row + 1) * shape_.dim);
    }
    return picked;
  }

  // x[rows[i]] += updates[i].
  void add(std::vector<double>& x, const std::vector<std::int64_t>& rows, const std::vector<double>& updates) const {
    const std::size_t dim = at(shape_.dim);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (std::size_t c = 0; c < dim; ++c) x[at(rows[i]) * dim + c] += updates[i * dim + c];
    }
  }

  std::vector<float> load(std::int64_t layer, Tensor tensor) const {
    std::vector<float> values(at(tensor_size(shape_, tensor).elements()));
    source_(layer, tensor, values);
    return values;
  }

  const ModelShape& shape_;
  const TensorSource& source_;
  int threads_;
  std::function<bool()> stop_requested_;
  std::optional<std::uint64_t> rounding_;
  mutable std::atomic<bool> stopped_ = false;
};

}  // namespace

ReferenceRun reference_forward(const ModelShape& shape, const TensorSource& source, const ReferenceSequence& sequence,
                               int threads) {
  ReferenceRun result;
  result.outputs.assign(sequence.tokens.begin(), sequence.tokens.end());
  Reference reference(shape, source, threads);
  reference.run(sequence, result.outputs, result.kv);
  result.stopped = reference.stopped();
  return result;
}

double reference_flops(const ModelShape& s, std::int64_t rows) {
  const double d = static_cast<double>(s.dim);
  const double pair = kPairFlops + kHeadFlops * static_cast<double>(s.heads);
  const auto layer = [&](double keys, double queries) {
    return keys * 2 * d * static_cast<double>(s.qkv_dim()) +
           queries * (2 * d * static_cast<double>(s.dim + 2 * s.ffn_dim) + (4 * d + pair) * keys);
  };
  const bool hybrid = s.query_tokens > 0 && s.layers > 1;
  const double all = static_cast<double>(rows);
  const double going_on = hybrid ? static_cast<double>(std::min(rows, s.query_tokens + 1)) : all;
  return layer(all, going_on) + static_cast<double>(s.layers - 1) * layer(going_on, going_on);
}

}  // namespace kvcast
