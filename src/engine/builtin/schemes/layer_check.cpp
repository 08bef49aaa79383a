#include "engine/builtin/schemes/layer_check.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include "base/parallel.h"
#include "base/random.h"
#include "base/text.h"
#include "engine/builtin/kernels/attention.h"
#include "engine/builtin/schemes/check.h"

namespace kvcast {
namespace {

using kernels::Element;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// Half a unit in the last place of a number near 1.
constexpr double kFloat32 = 0x1p-24, kBfloat16 = 0x1p-9;
// What rounding is allowed, in these units. Of 400 sound models
// (tests/unit/engine/builtin/schemes/layer_check_test.cpp) none was beyond 0.7 of any (docs/model.md §7).
constexpr double kKeyRounding = 8, kKeyBf16 = 8, kOutputRounding = 0.5, kOutputBf16 = 3;
// An error that goes one way must be both: so many standard deviations from none, and so large.
constexpr double kDriftDeviations = 5, kKeyDriftRounding = 4, kOutputDriftRounding = 8;
// Where roundings repeat they add up and go one way: more is allowed, and no drift is judged.
double narrow(const ModelShape& shape) { return roundings_repeat(shape) ? 64 : 1; }
// Of LayerNorm, as docs/model.md §1 has it; the kernel has its own.
constexpr double kEpsilon = 1e-5;

// Streams of random numbers; a layer has its own.
constexpr std::uint64_t kSeed = 0x6c61796572ULL;

double rms(const double* values, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += values[i] * values[i];
  return std::sqrt(sum / static_cast<double>(n));
}

// Sums in eight lanes, so that the compiler needs no licence to reorder them.
double dot(const double* a, const float* b, std::int64_t n) {
  std::array<double, 8> lanes{};
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (std::size_t l = 0; l < 8; ++l) lanes[l] += a[at(i) + l] * static_cast<double>(b[at(i) + l]);
  }
  double sum = 0;
  for (; i < n; ++i) sum += a[i] * static_cast<double>(b[i]);
  for (const double lane : lanes) sum += lane;
  return sum;
}

// to = (x - mean) / sqrt(var + eps). Returns how much of the rounding of x that magnifies: by much where the elements
// of x are nearly equal.
template <typename T>
double normalise(const T* x, std::int64_t n, double* to) {
  double mean = 0, variance = 0, square = 0;
  for (std::int64_t i = 0; i < n; ++i) mean += static_cast<double>(x[i]);
  mean /= static_cast<double>(n);
  for (std::int64_t i = 0; i < n; ++i) {
    const double off = static_cast<double>(x[i]) - mean;
    variance += off * off;
    square += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  variance /= static_cast<double>(n);
  const double inverse = 1 / std::sqrt(variance + kEpsilon);
  for (std::int64_t i = 0; i < n; ++i) to[i] = (static_cast<double>(x[i]) - mean) * inverse;
  return std::sqrt(square / static_cast<double>(n)) * inverse;
}

// Reads packed K and V of one sequence back: [keys][2 * kv_dim], K before V.
std::vector<float> unpacked(const kernels::KvView& view, std::int64_t keys, int threads) {
  const kernels::KvShape& s = view.shape;
  const std::int64_t kv_dim = s.kv_heads * s.head_dim;
  std::vector<float> rows(at(keys * 2 * kv_dim));
  const bool wide = s.element == Element::f32;
  const auto element = [&](const std::byte* from, std::int64_t index) {
    if (wide) {
      float value;
      std::memcpy(&value, from + index * 4, sizeof(value));
      return value;
    }
    kernels::Bf16 value;
    std::memcpy(&value, from + index * 2, sizeof(value));
    return kernels::from_bf16(value);
  };
  parallel_for(threads, (keys + kernels::kKeyPanel - 1) / kernels::kKeyPanel, [&](std::int64_t panel, int) {
    const std::int64_t last = std::min(keys, (panel + 1) * kernels::kKeyPanel);
    for (std::int64_t key = panel * kernels::kKeyPanel; key < last; ++key) {
      const std::int64_t lane = key % kernels::kKeyPanel;
      float* k = rows.data() + key * 2 * kv_dim;
      for (std::int64_t h = 0; h < s.kv_heads; ++h) {
        const std::byte* keys_of = view.keys + h * s.key_bytes_per_head();
        const std::byte* values_of = view.values + h * s.value_bytes_per_head();
        for (std::int64_t c = 0; c < s.head_dim; ++c) {
          const std::int64_t k_at = wide ? (panel * s.panel_rows() + c) * kernels::kKeyPanel + lane
                                         : ((panel * s.panel_rows() + c / 2) * kernels::kKeyPanel + lane) * 2 + c % 2;
          const std::int64_t v_at = wide ? key * s.value_stride() + c : (key / 2 * s.value_stride() + c) * 2 + key % 2;
          k[h * s.head_dim + c] = element(keys_of, k_at);
          k[kv_dim + h * s.head_dim + c] = element(values_of, v_at);
        }
      }
    }
  });
  return rows;
}

void keep_worst(LayerCheck::Error& worst, double ratio, const std::function<std::string()>& where) {
  if (!(ratio <= worst.ratio) && !std::isnan(worst.ratio)) worst = {ratio, where()};
}

std::string of_layer(const std::string& what, std::int64_t position, std::int64_t layer) {
  return what + " at position " + grouped(std::to_string(position)) + " of layer " + std::to_string(layer);
}

}  // namespace

double LayerCheck::Drift::ratio(double rounding) const {
  if (squares == 0) return 0;
  return std::min(std::abs(sum) / std::sqrt(squares) / kDriftDeviations, std::abs(sum) / sizes / (rounding * kFloat32));
}

LayerCheck::LayerCheck(const ModelShape& shape, const TensorSource& source, Mask mask, std::span<const float> history,
                       std::span<const float> candidates, std::int64_t rows, int threads)
    : shape_(shape),
      source_(source),
      sequence_(shape_, mask, static_cast<std::int64_t>(history.size()) / shape.dim),
      history_(history),
      candidates_(candidates),
      rows_(rows),
      threads_(threads) {}

void LayerCheck::layer_begins(std::int64_t layer, std::span<const float> x) noexcept {
  if (failure_ || layer != result_.layers) return;
  try {
    begin(layer, x);
  } catch (...) {
    failure_ = std::current_exception();
  }
}

void LayerCheck::layer_ends(std::int64_t layer, std::span<const float> x, const KvCache& cache) noexcept {
  if (failure_ || layer != result_.layers) return;
  try {
    end(layer, x, cache);
    ++result_.layers;
  } catch (...) {
    failure_ = std::current_exception();
  }
}

// Active positions in the order in which the engine has their rows.
std::vector<std::int64_t> LayerCheck::positions(std::int64_t layer) const {
  std::vector<std::int64_t> result;
  for (std::int64_t p = 0; p <= sequence_.length; ++p) {
    if (sequence_.active(layer, p)) result.push_back(p);
  }
  if (sequence_.mask == Mask::history_blind) std::reverse(result.begin(), result.end());
  return result;
}

void LayerCheck::begin(std::int64_t layer, std::span<const float> x) {
  const std::vector<std::int64_t> here = positions(layer);
  const auto width = here.size() * at(shape_.dim);
  const std::size_t stacked = width == 0 ? 0 : x.size() / width;
  if (stacked == 0 || stacked * width != x.size()) {
    keep_worst(result_.inputs, INFINITY, [&] { return "the rows of layer " + std::to_string(layer); });
    in_.clear();
    return;
  }
  judged_ = static_cast<std::int64_t>(stacked) - 1;
  const auto rows = x.subspan(at(judged_) * width, width);
  const bool from_tokens = layer == 0;
  const std::vector<std::int64_t> before = from_tokens ? std::vector<std::int64_t>{} : positions(layer - 1);
  // What each row must be, bit by bit: a token, or what the layer before left.
  std::size_t left = 0;
  for (std::size_t i = 0; i < here.size(); ++i) {
    const std::int64_t p = here[i];
    const bool enters = from_tokens || (p == sequence_.candidate && !sequence_.active(layer - 1, p));
    const float* wanted;
    if (p == sequence_.candidate && enters) {
      wanted = candidates_.data() + judged_ * shape_.dim;
    } else if (enters) {
      wanted = history_.data() + (sequence_.candidate == 0 ? p - 1 : p) * shape_.dim;
    } else {
      wanted = out_.data() + left++ * at(shape_.dim);
    }
    if (std::memcmp(wanted, rows.data() + i * at(shape_.dim), at(shape_.dim) * sizeof(float)) != 0) {
      keep_worst(result_.inputs, INFINITY, [&] { return of_layer("the input", p, layer); });
    }
  }
  in_.assign(rows.begin(), rows.end());
}

std::vector<float> LayerCheck::load(std::int64_t layer, Tensor tensor) const {
  std::vector<float> values(at(tensor_size(shape_, tensor).elements()));
  source_(layer, tensor, values);
  if (shape_.element == Element::bf16 && tensor_size(shape_, tensor).columns > 0) {
    for (float& value : values) value = kernels::from_bf16(kernels::to_bf16(value));
  }
  return values;
}

LayerCheck::Product LayerCheck::product_of(std::int64_t layer, Tensor weight, Tensor bias) const {
  return {tensor_size(shape_, weight).columns, load(layer, weight), load(layer, bias)};
}

// y[rows][count] = x[rows][in] W^T + b, of the first `count` rows of W.
std::vector<double> LayerCheck::dense(const Product& product, std::int64_t count, const std::vector<double>& x) const {
  constexpr std::int64_t kRows = 8, kOutputs = 64;
  const std::int64_t in = product.in;
  const std::int64_t rows = static_cast<std::int64_t>(x.size()) / in;
  const std::int64_t groups = (rows + kRows - 1) / kRows;
  std::vector<double> by_column(at(groups * in * kRows));  // [group][in][8]
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t i = 0; i < in; ++i) by_column[at((r / kRows * in + i) * kRows + r % kRows)] = x[at(r * in + i)];
  }
  std::vector<double> y(at(rows * count));
  parallel_for(threads_, (count + kOutputs - 1) / kOutputs, [&](std::int64_t task, int) {
    const std::int64_t last = std::min(count, (task + 1) * kOutputs);
    for (std::int64_t o = task * kOutputs; o < last; ++o) {
      const float* row = product.weight.data() + o * in;
      for (std::int64_t g = 0; g < groups; ++g) {
        std::array<double, kRows> sums;
        sums.fill(static_cast<double>(product.bias[at(o)]));
        const double* column = by_column.data() + g * in * kRows;
        for (std::int64_t i = 0; i < in; ++i, column += kRows) {
          const double value = static_cast<double>(row[i]);
          for (std::size_t r = 0; r < kRows; ++r) sums[r] += value * column[r];
        }
        for (std::int64_t r = g * kRows; r < std::min(rows, (g + 1) * kRows); ++r) {
          y[at(r * count + o)] = sums[at(r - g * kRows)];
        }
      }
    }
  });
  return y;
}

void LayerCheck::end(std::int64_t layer, std::span<const float> x, const KvCache& cache) {
  if (in_.empty()) return;
  const std::vector<std::int64_t> keys = positions(layer);
  const std::size_t stacked = at(judged_ + 1), dim = at(shape_.dim);
  // The last layer may give the candidate's output only.
  const bool last = layer + 1 == shape_.layers, trimmed = last && x.size() == stacked * dim;
  std::vector<std::size_t> kept;  // indices of the keys whose rows go on
  for (std::size_t j = 0; j < keys.size(); ++j) {
    if (trimmed ? keys[j] == sequence_.candidate : last || sequence_.active(layer + 1, keys[j])) kept.push_back(j);
  }
  if (x.size() != stacked * kept.size() * dim) {
    keep_worst(result_.inputs, INFINITY, [&] { return "the rows that go on from layer " + std::to_string(layer); });
    return;
  }
  const auto rows = x.subspan(at(judged_) * kept.size() * dim, kept.size() * dim);
  out_.assign(rows.begin(), rows.end());
  const std::vector<float> kv = unpacked(cache.view(layer, judged_), static_cast<std::int64_t>(keys.size()), threads_);
  const Product qkv = product_of(layer, Tensor::qkv_weight, Tensor::qkv_bias);
  const Norm norm = {load(layer, Tensor::attn_norm_weight), load(layer, Tensor::attn_norm_bias)};
  judge_keys(layer, norm, qkv, keys, kv);
  judge_outputs(layer, norm, qkv, keys, kept, kv, rows);
}

// (K_j - W n_j - b) · r for every key j costs a row of W for all keys together.
void LayerCheck::judge_keys(std::int64_t layer, const Norm& norm, const Product& qkv,
                            const std::vector<std::int64_t>& keys, const std::vector<float>& kv) {
  const std::int64_t d = shape_.dim, kv_dim = shape_.kv_dim();
  const double unit =
      kKeyRounding * std::sqrt(static_cast<double>(d)) * kFloat32 + (shape_.in_fp32() ? 0.0 : kKeyBf16 * kBfloat16);
  for (const bool values : {false, true}) {
    const std::int64_t first = d + (values ? kv_dim : 0);
    const RandomStream stream(kSeed + (values ? 1 : 0), static_cast<std::uint64_t>(layer));
    std::vector<double> r(at(kv_dim)), u(at(d));
    double offset = 0, weight_norm = 0, bias_norm = 0;
    for (std::int64_t c = 0; c < kv_dim; ++c) {
      r[at(c)] = static_cast<double>(stream.unit(static_cast<std::uint64_t>(c)));
      const float* row = qkv.weight.data() + (first + c) * d;
      for (std::int64_t i = 0; i < d; ++i) {
        u[at(i)] += r[at(c)] * static_cast<double>(row[i]);
        weight_norm += static_cast<double>(row[i]) * static_cast<double>(row[i]);
      }
      const auto bias = static_cast<double>(qkv.bias[at(first + c)]);
      offset += r[at(c)] * bias;
      bias_norm += bias * bias;
    }
    std::vector<double> ratios(keys.size()), errors(keys.size()), sizes(keys.size());
    parallel_for(threads_, static_cast<std::int64_t>(keys.size() + 63) / 64, [&](std::int64_t task, int) {
      std::vector<double> n(at(d));
      for (std::size_t j = at(task * 64); j < std::min(keys.size(), at((task + 1) * 64)); ++j) {
        const double magnified = normalise(in_.data() + j * at(d), d, n.data());
        double expected = offset, normed = 0;
        for (std::int64_t i = 0; i < d; ++i) {
          const double value =
              n[at(i)] * static_cast<double>(norm.scale[at(i)]) + static_cast<double>(norm.shift[at(i)]);
          expected += u[at(i)] * value;
          normed += value * value;
        }
        const float* row = kv.data() + j * at(2 * kv_dim) + (values ? kv_dim : 0);
        double got = 0, size = 0;
        for (std::int64_t c = 0; c < kv_dim; ++c) {
          got += r[at(c)] * static_cast<double>(row[c]);
          size += static_cast<double>(row[c]) * static_cast<double>(row[c]);
        }
        const double rounded =
            magnified * (std::sqrt(weight_norm * normed / static_cast<double>(d)) + std::sqrt(bias_norm)) +
            std::sqrt(size);
        errors[j] = got - expected;
        sizes[j] = expected;
        ratios[j] = std::abs(got - expected) / (rounded * unit * narrow(shape_));
      }
    });
    Drift drift;
    for (std::size_t j = 0; j < keys.size(); ++j) {
      keep_worst(result_.keys_and_values, ratios[j], [&] { return of_layer(values ? "V" : "K", keys[j], layer); });
      if (!roundings_repeat(shape_)) drift.add(errors[j] * sizes[j], sizes[j] * sizes[j]);
    }
    keep_worst(result_.key_drift, drift.ratio(kKeyDriftRounding),
               [&] { return std::string(values ? "V" : "K") + " of all positions of layer " + std::to_string(layer); });
  }
  result_.keys += static_cast<std::int64_t>(keys.size());
}

// Indices of `kept` rows whose outputs are judged.
std::vector<std::int64_t> LayerCheck::sample(std::int64_t layer, std::int64_t kept) const {
  if (kept <= rows_) {
    std::vector<std::int64_t> all(at(kept));
    for (std::int64_t i = 0; i < kept; ++i) all[at(i)] = i;
    return all;
  }
  std::set<std::int64_t> picked = {0, kept - 1};
  const RandomStream stream(kSeed + 2, static_cast<std::uint64_t>(layer));
  std::uint64_t draw = 0;
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(stream.bits(draw++) % static_cast<std::uint64_t>(n));
  };
  // Half beside borders, of a tile of rows, a panel or a tile of keys and a share of the rows; half anywhere.
  const std::array<std::int64_t, 4> steps = {kernels::kRowTile, kernels::kKeyPanel, kernels::kKeyTile,
                                             std::max<std::int64_t>(1, kept / std::max(threads_, 2))};
  for (std::int64_t i = 0; static_cast<std::int64_t>(picked.size()) < rows_; ++i) {
    const std::int64_t row = below(kept), step = steps[at(i / 2) % steps.size()];
    // Few rows may be beside borders: every other draw is anywhere, so that the loop ends.
    picked.insert(i % 2 == 0 ? row : std::max<std::int64_t>(0, row / step * step - below(2)));
  }
  return {picked.begin(), picked.end()};
}

void LayerCheck::judge_outputs(std::int64_t layer, const Norm& norm, const Product& qkv,
                               const std::vector<std::int64_t>& keys, const std::vector<std::size_t>& kept,
                               const std::vector<float>& kv, std::span<const float> out) {
  const std::int64_t d = shape_.dim, hd = shape_.head_dim(), kv_dim = shape_.kv_dim();
  const std::int64_t group = shape_.heads / shape_.kv_heads;
  const std::vector<std::int64_t> rows = sample(layer, static_cast<std::int64_t>(kept.size()));
  const auto count = static_cast<std::int64_t>(rows.size());
  const auto affine = [&](std::vector<double>& x, const Norm& of) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] = x[i] * static_cast<double>(of.scale[i % at(d)]) + static_cast<double>(of.shift[i % at(d)]);
    }
  };

  std::vector<double> x(at(count * d)), normed(x.size());
  std::vector<double> magnified(at(count)), largest_logit(at(count));
  for (std::int64_t r = 0; r < count; ++r) {
    const float* row = in_.data() + kept[at(rows[at(r)])] * at(d);
    std::copy_n(row, d, x.begin() + r * d);
    magnified[at(r)] = normalise(row, d, normed.data() + r * d);
  }
  affine(normed, norm);
  const std::vector<double> q = dense(qkv, d, normed);

  std::vector<double> attended(at(count * d));
  parallel_for(threads_, count, [&](std::int64_t r, int) {
    const std::int64_t own = keys[kept[at(rows[at(r)])]];
    std::vector<double> p(keys.size());
    for (std::int64_t h = 0; h < shape_.heads; ++h) {
      const double* query = q.data() + r * d + h * hd;
      const std::int64_t of_kv = h / group * hd;
      double top = -INFINITY, sum = 0;
      for (std::size_t j = 0; j < keys.size(); ++j) {
        if (!sees(sequence_.mask, own, keys[j])) continue;
        p[j] = dot(query, kv.data() + j * at(2 * kv_dim) + of_kv, hd) / std::sqrt(static_cast<double>(hd));
        top = std::max(top, p[j]);
        largest_logit[at(r)] = std::max(largest_logit[at(r)], std::abs(p[j]));
      }
      double* o = attended.data() + r * d + h * hd;
      for (std::size_t j = 0; j < keys.size(); ++j) {
        if (!sees(sequence_.mask, own, keys[j])) continue;
        const double weight = std::exp(p[j] - top);
        const float* v = kv.data() + j * at(2 * kv_dim) + kv_dim + of_kv;
        sum += weight;
        for (std::int64_t c = 0; c < hd; ++c) o[c] += weight * static_cast<double>(v[c]);
      }
      for (std::int64_t c = 0; c < hd; ++c) o[c] /= sum;
    }
  });
  const std::vector<double> attention = dense(product_of(layer, Tensor::out_weight, Tensor::out_bias), d, attended);
  std::vector<double> y(x.size()), hidden_in(x.size()), magnified_y(at(count));
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] + attention[i];
  for (std::int64_t r = 0; r < count; ++r) {
    magnified_y[at(r)] = normalise(y.data() + r * d, d, hidden_in.data() + r * d);
  }
  affine(hidden_in, {load(layer, Tensor::ffn_norm_weight), load(layer, Tensor::ffn_norm_bias)});
  std::vector<double> hidden = dense(product_of(layer, Tensor::up_weight, Tensor::up_bias), shape_.ffn_dim, hidden_in);
  for (double& value : hidden) value = 0.5 * value * (1 + std::erf(value / std::sqrt(2.0)));
  const std::vector<double> ffn = dense(product_of(layer, Tensor::down_weight, Tensor::down_bias), d, hidden);

  const auto all_keys = static_cast<std::int64_t>(keys.size());
  const std::int64_t terms =
      d + hd + shape_.ffn_dim + std::min(all_keys, kernels::kKeyTile) + all_keys / kernels::kKeyTile;
  const double unit = kOutputRounding * kFloat32 * std::sqrt(static_cast<double>(terms)) +
                      (shape_.element == Element::bf16 ? kOutputBf16 * kBfloat16 : 0.0);
  for (std::int64_t r = 0; r < count; ++r) {
    std::vector<double> error(at(d));
    double along = 0, update_squared = 0;
    for (std::int64_t c = 0; c < d; ++c) {
      const std::size_t i = at(r * d + c);
      error[at(c)] = static_cast<double>(out[at(rows[at(r)] * d + c)]) - (y[i] + ffn[i]);
      const double update = attention[i] + ffn[i];
      along += error[at(c)] * update;
      update_squared += update * update;
    }
    if (!roundings_repeat(shape_)) drift_.add(along, update_squared);
    // The stream is fp32 whatever the products are.
    const double size_y = rms(y.data() + r * d, d);
    const double of_y = kFloat32 * rms(x.data() + r * d, d) +
                        unit * magnified[at(r)] * (1 + largest_logit[at(r)]) * rms(attention.data() + r * d, d);
    const double of_ffn = magnified_y[at(r)] * (unit + (size_y > 0 ? of_y / size_y : 0)) * rms(ffn.data() + r * d, d);
    const double allowed = of_y + of_ffn + kFloat32 * size_y;
    const std::int64_t position = keys[kept[at(rows[at(r)])]];
    keep_worst(result_.outputs, rms(error.data(), d) / (allowed * narrow(shape_)),
               [&] { return of_layer("the output", position, layer); });
  }
  result_.outputs_judged += count;
}

LayerCheck::Result LayerCheck::result() const {
  if (failure_) std::rethrow_exception(failure_);
  Result result = result_;
  if (result.layers < shape_.layers) {
    result.inputs = {INFINITY, "layer " + std::to_string(result.layers) + " did not run"};
  }
  result.drift = {drift_.ratio(kOutputDriftRounding), "the outputs of all layers"};
  for (const Error* error :
       {&result.inputs, &result.keys_and_values, &result.key_drift, &result.outputs, &result.drift}) {
    keep_worst(result.worst, error->ratio, [&] { return error->where; });
  }
  return result;
}

double LayerCheck::bytes(const ModelShape& shape, std::int64_t history_length) {
  const auto rows = static_cast<double>(history_length + 1);
  const auto d = static_cast<double>(shape.dim);
  const double largest = d * static_cast<double>(std::max(shape.ffn_dim, shape.qkv_dim()));
  return sizeof(float) * (rows * (2 * d + 2 * static_cast<double>(shape.kv_dim())) + 2 * largest) +
         sizeof(std::int64_t) * 4 * rows;
}

std::int64_t LayerCheck::rows_for(const ModelShape& shape, std::int64_t history_length, double flops) {
  const auto keys = static_cast<double>(history_length + 1), d = static_cast<double>(shape.dim);
  const auto heads = static_cast<double>(shape.heads), layers = static_cast<double>(shape.layers);
  // An exponential and a look at the mask count as 25.
  const double row = 2 * d * static_cast<double>(2 * shape.dim + 2 * shape.ffn_dim) + keys * (4 * d + 25 * heads);
  const double all_keys = keys * 2 * (6 * d + 4 * static_cast<double>(shape.kv_dim()));
  const double affordable = (flops / layers - all_keys) / row;
  return static_cast<std::int64_t>(std::clamp(affordable, 2.0, 24.0));
}

}  // namespace kvcast
