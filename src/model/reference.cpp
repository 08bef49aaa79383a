#include "model/reference.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"

namespace kvcast {
namespace {

constexpr double kEpsilon = 1e-5;
constexpr std::int64_t kRowsPerTask = 8;

using Sees = std::function<bool(std::int64_t, std::int64_t)>;

class Reference {
 public:
  Reference(const ModelShape& shape, const TensorSource& source, int threads)
      : shape_(shape), source_(source), threads_(threads) {}

  // y[rows][out] = x[rows][in] W^T + b.
  std::vector<double> dense(std::int64_t layer, Tensor weight, Tensor bias, const std::vector<double>& x) const {
    const TensorSize size = tensor_size(shape_, weight);
    const std::int64_t out = size.rows, in = size.columns;
    const std::vector<float> w = load(layer, weight), b = load(layer, bias);
    // [in][out], so that the inner loop adds whole rows and needs no reordering of sums.
    std::vector<double> wt(static_cast<std::size_t>(in * out));
    for (std::int64_t o = 0; o < out; ++o) {
      for (std::int64_t i = 0; i < in; ++i) wt[at(i * out + o)] = w[at(o * in + i)];
    }
    const std::int64_t rows = static_cast<std::int64_t>(x.size()) / in;
    std::vector<double> y(static_cast<std::size_t>(rows * out));
    parallel_for(threads_, (rows + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task, int) {
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
    return y;
  }

  std::vector<double> norm(std::int64_t layer, Tensor weight, Tensor bias, const std::vector<double>& x) const {
    const std::vector<float> w = load(layer, weight), b = load(layer, bias);
    const std::int64_t d = shape_.dim;
    std::vector<double> y(x.size());
    for (std::int64_t r = 0; r < static_cast<std::int64_t>(x.size()) / d; ++r) {
      double mean = 0, variance = 0;
      for (std::int64_t i = 0; i < d; ++i) mean += x[at(r * d + i)];
      mean /= static_cast<double>(d);
      for (std::int64_t i = 0; i < d; ++i) variance += (x[at(r * d + i)] - mean) * (x[at(r * d + i)] - mean);
      variance /= static_cast<double>(d);
      const double inverse = 1 / std::sqrt(variance + kEpsilon);
      for (std::int64_t i = 0; i < d; ++i) y[at(r * d + i)] = (x[at(r * d + i)] - mean) * inverse * w[at(i)] + b[at(i)];
    }
    return y;
  }

  // Attention of every row over the rows and the stale positions it sees. Returns [rows][dim]; deviation gets the
  // standard deviation of the logits.
  std::vector<double> attention(const std::vector<double>& qkv, const Sees& sees, const ReferenceKv* stale,
                                const Sees& sees_stale, double* deviation) const {
    const std::int64_t width = shape_.qkv_dim(), hd = shape_.head_dim(), kd = shape_.kv_dim();
    const std::int64_t rows = static_cast<std::int64_t>(qkv.size()) / width;
    const std::int64_t stale_rows = stale == nullptr ? 0 : static_cast<std::int64_t>(stale->k.size()) / kd;
    const std::int64_t group = shape_.heads / shape_.kv_heads;
    std::vector<double> out(static_cast<std::size_t>(rows * shape_.dim));
    std::vector<double> moments(static_cast<std::size_t>(rows) * 3);
    parallel_for(threads_, rows, [&](std::int64_t i, int) {
      std::vector<const double*> keys, values;
      for (std::int64_t j = 0; j < rows; ++j) {
        if (!sees(i, j)) continue;
        keys.push_back(qkv.data() + j * width + shape_.dim);
        values.push_back(qkv.data() + j * width + shape_.dim + kd);
      }
      for (std::int64_t j = 0; j < stale_rows; ++j) {
        if (!sees_stale(i, j)) continue;
        keys.push_back(stale->k.data() + j * kd);
        values.push_back(stale->v.data() + j * kd);
      }
      std::vector<double> p(keys.size());
      for (std::int64_t h = 0; h < shape_.heads; ++h) {
        const std::int64_t kv = h / group * hd;
        const double* q = qkv.data() + i * width + h * hd;
        double top = -INFINITY, sum = 0;
        for (std::size_t j = 0; j < keys.size(); ++j) {
          double dot = 0;
          for (std::int64_t c = 0; c < hd; ++c) dot += q[c] * keys[j][kv + c];
          p[j] = dot / std::sqrt(static_cast<double>(hd));
          top = std::max(top, p[j]);
          moments[at(3 * i)] += 1;
          moments[at(3 * i + 1)] += p[j];
          moments[at(3 * i + 2)] += p[j] * p[j];
        }
        for (double& value : p) {
          value = std::exp(value - top);
          sum += value;
        }
        double* o = out.data() + i * shape_.dim + h * hd;
        for (std::size_t j = 0; j < keys.size(); ++j) {
          for (std::int64_t c = 0; c < hd; ++c) o[c] += p[j] / sum * values[j][kv + c];
        }
      }
    });
    if (deviation != nullptr) {
      double n = 0, s = 0, s2 = 0;
      for (std::int64_t i = 0; i < rows; ++i) {
        n += moments[at(3 * i)];
        s += moments[at(3 * i + 1)];
        s2 += moments[at(3 * i + 2)];
      }
      *deviation = n == 0 ? 0 : std::sqrt(s2 / n - s / n * (s / n));
    }
    return out;
  }

  // All layers over x in place. on_layer(layer, qkv, attention update, ffn update, logit deviation) sees each.
  template <typename OnLayer>
  void run(std::vector<double>& x, const Sees& sees, const std::vector<ReferenceKv>* stale, const Sees& sees_stale,
           const OnLayer& on_layer) const {
    for (std::int64_t layer = 0; layer < shape_.layers; ++layer) {
      const std::vector<double> qkv = dense(layer, Tensor::qkv_weight, Tensor::qkv_bias,
                                            norm(layer, Tensor::attn_norm_weight, Tensor::attn_norm_bias, x));
      double deviation = 0;
      const ReferenceKv* stale_kv = stale == nullptr ? nullptr : &(*stale)[at(layer)];
      const std::vector<double> attended =
          dense(layer, Tensor::out_weight, Tensor::out_bias, attention(qkv, sees, stale_kv, sees_stale, &deviation));
      for (std::size_t i = 0; i < x.size(); ++i) x[i] += attended[i];
      std::vector<double> hidden = dense(layer, Tensor::up_weight, Tensor::up_bias,
                                         norm(layer, Tensor::ffn_norm_weight, Tensor::ffn_norm_bias, x));
      for (double& value : hidden) value = 0.5 * value * (1 + std::erf(value / std::sqrt(2.0)));
      const std::vector<double> ffn = dense(layer, Tensor::down_weight, Tensor::down_bias, hidden);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] += ffn[i];
      on_layer(layer, qkv, attended, ffn, deviation);
    }
  }

 private:
  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

  std::vector<float> load(std::int64_t layer, Tensor tensor) const {
    std::vector<float> values(at(tensor_size(shape_, tensor).elements()));
    source_(layer, tensor, values);
    return values;
  }

  const ModelShape& shape_;
  const TensorSource& source_;
  int threads_;
};

double squared(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return sum;
}

}  // namespace

ReferenceRun reference_forward(const ModelShape& shape, const TensorSource& source, std::span<const double> tokens,
                               const Sees& sees, int threads, const std::vector<ReferenceKv>* stale,
                               const Sees& sees_stale) {
  ReferenceRun result;
  result.outputs.assign(tokens.begin(), tokens.end());
  const std::int64_t rows = static_cast<std::int64_t>(tokens.size()) / shape.dim;
  Reference(shape, source, threads)
      .run(result.outputs, sees, stale, sees_stale,
           [&](std::int64_t, const std::vector<double>& qkv, const std::vector<double>&, const std::vector<double>&,
               double) {
             ReferenceKv kv;
             for (std::int64_t r = 0; r < rows; ++r) {
               const double* k = qkv.data() + r * shape.qkv_dim() + shape.dim;
               kv.k.insert(kv.k.end(), k, k + shape.kv_dim());
               kv.v.insert(kv.v.end(), k + shape.kv_dim(), k + 2 * shape.kv_dim());
             }
             result.kv.push_back(std::move(kv));
           });
  return result;
}

ReferenceUpdates reference_updates(const ModelShape& shape, const TensorSource& source, std::span<const double> tokens,
                                   const Sees& sees, int threads) {
  ReferenceUpdates updates;
  std::vector<double> x(tokens.begin(), tokens.end());
  Reference(shape, source, threads)
      .run(x, sees, nullptr, {},
           [&](std::int64_t, const std::vector<double>&, const std::vector<double>& attention,
               const std::vector<double>& ffn, double deviation) {
             updates.attention.push_back(squared(attention));
             updates.ffn.push_back(squared(ffn));
             updates.logit_deviation.push_back(deviation);
           });
  return updates;
}

double reference_flops(const ModelShape& s, std::int64_t rows) {
  const double d = static_cast<double>(s.dim), n = static_cast<double>(rows);
  const double dense = 2 * d * static_cast<double>(s.qkv_dim() + s.dim + 2 * s.ffn_dim);
  return static_cast<double>(s.layers) * n * (dense + 4 * d * n);
}

}  // namespace kvcast
