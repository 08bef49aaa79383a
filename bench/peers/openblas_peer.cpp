// The model with OpenBLAS, as one would write it without kernels of one's own: a product per linear layer, attention
// scores materialised in blocks of 128 query rows that stop at the diagonal, everything in full, fp32.
//
// A process of its own, because thread pools do not share one: bench/peers/README.md has the protocol.
#include <cblas.h>
#include <omp.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using Vector = std::vector<float>;

// ---- The exported case ------------------------------------------------------------------------------------------

/// Tensors of a file by `kvcast verify --export` and its effective configuration; throws std::runtime_error.
class Case {
 public:
  explicit Case(const std::string& path) : in_(path, std::ios::binary) {
    std::uint64_t size = 0;
    if (!in_.read(reinterpret_cast<char*>(&size), sizeof size)) throw std::runtime_error(path + ": cannot be read");
    std::string text(size, '\0');
    if (!in_.read(text.data(), static_cast<std::streamsize>(size))) throw std::runtime_error(path + ": cut short");
    header_ = nlohmann::json::parse(text);
    data_ = static_cast<std::streamoff>(size + sizeof size);
    config = nlohmann::json::parse(header_["__metadata__"]["kvcast.config"].get<std::string>());
  }
  bool has(const std::string& name) const { return header_.contains(name); }
  std::int64_t extent(const std::string& name, std::size_t axis) const { return header_.at(name)["shape"][axis]; }
  Vector f32(const std::string& name) { return read<float>(name, "F32"); }
  std::vector<double> values(const std::string& name) {
    if (header_.at(name)["dtype"] == "F64") return read<double>(name, "F64");
    const Vector v = f32(name);
    return {v.begin(), v.end()};
  }

  nlohmann::json config;

 private:
  template <typename T>
  std::vector<T> read(const std::string& name, const char* dtype) {
    const auto& entry = header_.at(name);
    if (entry["dtype"] != dtype) throw std::runtime_error(name + " is not " + dtype + ": the peers compute fp32 only");
    const std::int64_t first = entry["data_offsets"][0], last = entry["data_offsets"][1];
    std::vector<T> out(static_cast<std::size_t>(last - first) / sizeof(T));
    in_.seekg(data_ + first);
    if (!in_.read(reinterpret_cast<char*>(out.data()), last - first)) throw std::runtime_error(name + ": cut short");
    return out;
  }
  std::ifstream in_;
  std::streamoff data_ = 0;
  nlohmann::json header_;
};

// ---- Element-wise parts: plain loops that the compiler vectorises -------------------------------------------------

/// e^x for x <= 0 with an error of about 2 ulp; 0 below -87.
inline float exp_negative(float x) {
  x = std::max(x, -87.0F);
  const float n = std::floor(x * 1.44269504F + 0.5F);
  const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  const float e = p * r * r + r + 1.0F;
  const std::int32_t bits = (static_cast<std::int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return e * power;
}

/// x (1 + erf(x / sqrt 2)) / 2; erf by Abramowitz and Stegun 7.1.26, absolute error 1.5e-7.
inline float gelu(float x) {
  const float z = std::fabs(x) * 0.70710678F;
  const float t = 1.0F / (1.0F + 0.3275911F * z);
  float p = 1.061405429F;
  p = p * t - 1.453152027F;
  p = p * t + 1.421413741F;
  p = p * t - 0.284496736F;
  p = p * t + 0.254829592F;
  const float erf = 1.0F - p * t * exp_negative(-z * z);
  return 0.5F * x + 0.5F * std::fabs(x) * erf;
}

void add_bias(float* __restrict y, const float* __restrict bias, std::int64_t n) {
#pragma omp simd
  for (std::int64_t j = 0; j < n; ++j) y[j] += bias[j];
}

void bias_gelu(float* __restrict y, const float* __restrict bias, std::int64_t n) {
#pragma omp simd
  for (std::int64_t j = 0; j < n; ++j) y[j] = gelu(y[j] + bias[j]);
}

void layer_norm(const float* __restrict x, const float* __restrict weight, const float* __restrict bias,
                float* __restrict y, std::int64_t n) {
  float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t j = 0; j < n; ++j) sum += x[j];
  const float mean = sum / static_cast<float>(n);
#pragma omp simd reduction(+ : squares)
  for (std::int64_t j = 0; j < n; ++j) squares += (x[j] - mean) * (x[j] - mean);
  const float inverse = 1.0F / std::sqrt(squares / static_cast<float>(n) + 1e-5F);
#pragma omp simd
  for (std::int64_t j = 0; j < n; ++j) y[j] = (x[j] - mean) * inverse * weight[j] + bias[j];
}

/// Softmax numerators of s[0 .. n) times `scale` in place; `top` is at least their largest. Returns their sum.
float exponentials(float* __restrict s, std::int64_t n, float scale, float top) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t j = 0; j < n; ++j) {
    s[j] = exp_negative(s[j] * scale - top);
    sum += s[j];
  }
  return sum;
}

float largest(const float* __restrict s, std::int64_t n) {
  float top = s[0];
#pragma omp simd reduction(max : top)
  for (std::int64_t j = 0; j < n; ++j) top = std::max(top, s[j]);
  return top;
}

void scale_row(float* __restrict y, std::int64_t n, float factor) {
#pragma omp simd
  for (std::int64_t j = 0; j < n; ++j) y[j] *= factor;
}

// ---- The model ------------------------------------------------------------------------------------------------------

struct Layer {
  Vector attn_norm_weight, attn_norm_bias, qkv_weight, qkv_bias, out_weight, out_bias;
  Vector ffn_norm_weight, ffn_norm_bias, up_weight, up_bias, down_weight, down_bias;
};

/// Query rows per block of scores.
constexpr std::int64_t kBlock = 128;

class Peer {
 public:
  Peer(Case& test, int threads) : threads_(threads) {
    const auto& model = test.config["model"];
    const auto need = [&](const char* key, const nlohmann::json& value) {
      if (model.contains(key) && model[key] != value) {
        throw std::runtime_error("the OpenBLAS peer needs model." + std::string(key) + " = " + value.dump());
      }
    };
    need("mask", "causal");
    need("query_tokens", "auto");
    need("candidate_from_layer", 0);
    need("token_merge", 1);
    dim_ = model["dim"];
    heads_ = model["heads"];
    kv_heads_ = model["kv_heads"].is_number() ? model["kv_heads"].get<std::int64_t>() : heads_;
    head_dim_ = dim_ / heads_;
    kv_dim_ = kv_heads_ * head_dim_;
    width_ = dim_ + 2 * kv_dim_;
    length_ = test.extent("history", 0);
    history_ = test.f32("history");
    candidates_ = test.f32("candidates");
    count_ = test.extent("candidates", 0);
    reference_ = test.values(test.has("outputs.reference") ? "outputs.reference" : "outputs.naive");
    for (const double v : reference_) largest_reference_ = std::max(largest_reference_, std::fabs(v));
    for (std::int64_t i = 0; i < model["layers"].get<std::int64_t>(); ++i) {
      const std::string at = "layers." + std::to_string(i) + ".";
      layers_.push_back(
          {test.f32(at + "attn_norm.weight"), test.f32(at + "attn_norm.bias"), test.f32(at + "attn.qkv.weight"),
           test.f32(at + "attn.qkv.bias"), test.f32(at + "attn.out.weight"), test.f32(at + "attn.out.bias"),
           test.f32(at + "ffn_norm.weight"), test.f32(at + "ffn_norm.bias"), test.f32(at + "ffn.up.weight"),
           test.f32(at + "ffn.up.bias"), test.f32(at + "ffn.down.weight"), test.f32(at + "ffn.down.bias")});
    }
    hidden_ = test.extent("layers.0.ffn.up.weight", 0);
    cache_.resize(layers_.size());
    for (Vector& kv : cache_) kv.resize(static_cast<std::size_t>(length_ * 2 * kv_dim_));
    scores_.resize(static_cast<std::size_t>(threads_), Vector(static_cast<std::size_t>(kBlock * (length_ + 1))));
    reserve(length_ + 1);
  }

  void reserve(std::int64_t rows) {
    const auto grow = [rows](Vector& v, std::int64_t width) {
      v.resize(std::max(v.size(), static_cast<std::size_t>(rows * width)));
    };
    grow(x_, dim_);
    grow(normed_, dim_);
    grow(qkv_, width_);
    grow(attended_, dim_);
    grow(ffn_, hidden_);
  }

  void user() {
    std::copy(history_.begin(), history_.end(), x_.begin());
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      qkv(layers_[i], length_);
      const std::int64_t pair = 2 * kv_dim_;
      for_rows(length_, [&](std::int64_t row) {
        std::copy_n(&qkv_[at(row * width_ + dim_)], pair, &cache_[i][at(row * pair)]);
      });
      causal(length_);
      rest(layers_[i], length_);
    }
  }

  /// Candidates 0 .. n-1 (the file's again and again) against the cache; outputs in the first n rows of x.
  void candidates(std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) std::copy_n(&candidates_[at(i % count_ * dim_)], dim_, &x_[at(i * dim_)]);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      qkv(layers_[i], n);
      beside_cache(cache_[i], n);
      rest(layers_[i], n);
    }
  }

  /// One whole sequence; the candidate's output in row `length` of x.
  void naive(std::int64_t candidate) {
    std::copy(history_.begin(), history_.end(), x_.begin());
    std::copy_n(&candidates_[at(candidate % count_ * dim_)], dim_, &x_[at(length_ * dim_)]);
    for (const Layer& layer : layers_) {
      qkv(layer, length_ + 1);
      causal(length_ + 1);
      rest(layer, length_ + 1);
    }
  }

  /// Largest difference between `n` rows of x from `row` on and the reference of candidates from `first` on.
  double error(std::int64_t row, std::int64_t first, std::int64_t n) const {
    double worst = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < dim_; ++j) {
        const double difference = std::fabs(static_cast<double>(x_[at((row + i) * dim_ + j)]) -
                                            reference_[at((first + i) % count_ * dim_ + j)]);
        // A NaN is the worst of errors, and JSON has none.
        worst = std::max(worst, std::isfinite(difference) ? difference : std::numeric_limits<double>::max());
      }
    }
    return worst;
  }

  std::int64_t length() const { return length_; }
  double largest_reference() const { return largest_reference_; }

 private:
  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

  template <typename F>
  void for_rows(std::int64_t rows, F&& f) {
#pragma omp parallel for num_threads(threads_) schedule(static) if (threads_ > 1 && rows > 1)
    for (std::int64_t row = 0; row < rows; ++row) f(row);
  }

  // y = x Wᵀ + beta y, W [out, in] as exported.
  void product(const float* x, const Vector& weight, float* y, std::int64_t rows, std::int64_t in, std::int64_t out,
               float beta) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(rows), static_cast<int>(out),
                static_cast<int>(in), 1.0F, x, static_cast<int>(in), weight.data(), static_cast<int>(in), beta, y,
                static_cast<int>(out));
  }

  void qkv(const Layer& layer, std::int64_t rows) {
    for_rows(rows, [&](std::int64_t row) {
      layer_norm(&x_[at(row * dim_)], layer.attn_norm_weight.data(), layer.attn_norm_bias.data(),
                 &normed_[at(row * dim_)], dim_);
    });
    product(normed_.data(), layer.qkv_weight, qkv_.data(), rows, dim_, width_, 0);
    for_rows(rows, [&](std::int64_t row) { add_bias(&qkv_[at(row * width_)], layer.qkv_bias.data(), width_); });
  }

  void rest(const Layer& layer, std::int64_t rows) {
    for_rows(rows, [&](std::int64_t row) { add_bias(&x_[at(row * dim_)], layer.out_bias.data(), dim_); });
    product(attended_.data(), layer.out_weight, x_.data(), rows, dim_, dim_, 1);
    for_rows(rows, [&](std::int64_t row) {
      layer_norm(&x_[at(row * dim_)], layer.ffn_norm_weight.data(), layer.ffn_norm_bias.data(),
                 &normed_[at(row * dim_)], dim_);
    });
    product(normed_.data(), layer.up_weight, ffn_.data(), rows, dim_, hidden_, 0);
    for_rows(rows, [&](std::int64_t row) { bias_gelu(&ffn_[at(row * hidden_)], layer.up_bias.data(), hidden_); });
    for_rows(rows, [&](std::int64_t row) { add_bias(&x_[at(row * dim_)], layer.down_bias.data(), dim_); });
    product(ffn_.data(), layer.down_weight, x_.data(), rows, hidden_, dim_, 1);
  }

  // One task per head and block of query rows, each with products of its own on one thread: products this narrow do
  // not gain from two.
  template <typename F>
  void for_blocks(std::int64_t rows, F&& f) {
    const std::int64_t blocks = (rows + kBlock - 1) / kBlock;
    if (threads_ > 1) openblas_set_num_threads(1);
#pragma omp parallel for num_threads(threads_) schedule(dynamic) if (threads_ > 1)
    for (std::int64_t task = 0; task < blocks * heads_; ++task) {
      // The long blocks of a causal mask first.
      const std::int64_t first = (blocks - 1 - task / heads_) * kBlock;
      f(task % heads_, first, std::min(kBlock, rows - first), scores_[at(omp_get_thread_num())].data());
    }
    if (threads_ > 1) openblas_set_num_threads(threads_);
  }

  void query_key(const float* q, const float* k, std::int64_t k_stride, float* s, std::int64_t rows,
                 std::int64_t keys) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(rows), static_cast<int>(keys),
                static_cast<int>(head_dim_), 1.0F, q, static_cast<int>(width_), k, static_cast<int>(k_stride), 0.0F, s,
                static_cast<int>(keys));
  }

  void weighted_values(const float* s, const float* v, std::int64_t v_stride, float* o, std::int64_t rows,
                       std::int64_t keys) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(rows), static_cast<int>(head_dim_),
                static_cast<int>(keys), 1.0F, s, static_cast<int>(keys), v, static_cast<int>(v_stride), 0.0F, o,
                static_cast<int>(dim_));
  }

  void causal(std::int64_t rows) {
    const float scale = 1.0F / std::sqrt(static_cast<float>(head_dim_));
    for_blocks(rows, [&, scale](std::int64_t head, std::int64_t first, std::int64_t n, float* s) {
      const std::int64_t keys = first + n, kv = head / (heads_ / kv_heads_) * head_dim_;
      query_key(&qkv_[at(first * width_ + head * head_dim_)], &qkv_[at(dim_ + kv)], width_, s, n, keys);
      float sums[kBlock];
      for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t seen = first + i + 1;
        float* row = s + i * keys;
        sums[i] = exponentials(row, seen, scale, largest(row, seen) * scale);
        std::fill(row + seen, row + keys, 0.0F);
      }
      float* o = &attended_[at(first * dim_ + head * head_dim_)];
      weighted_values(s, &qkv_[at(dim_ + kv_dim_ + kv)], width_, o, n, keys);
      for (std::int64_t i = 0; i < n; ++i) scale_row(o + i * dim_, head_dim_, 1.0F / sums[i]);
    });
  }

  void beside_cache(const Vector& cache, std::int64_t rows) {
    const float scale = 1.0F / std::sqrt(static_cast<float>(head_dim_));
    for_blocks(rows, [&, scale](std::int64_t head, std::int64_t first, std::int64_t n, float* s) {
      const std::int64_t kv = head / (heads_ / kv_heads_) * head_dim_;
      const float* q = &qkv_[at(first * width_ + head * head_dim_)];
      query_key(q, &cache[at(kv)], 2 * kv_dim_, s, n, length_);
      float sums[kBlock], own[kBlock];
      for (std::int64_t i = 0; i < n; ++i) {
        float score = 0;
        const float* k = &qkv_[at((first + i) * width_ + dim_ + kv)];
        for (std::int64_t j = 0; j < head_dim_; ++j) score += q[i * width_ + j] * k[j];
        const float top = std::max(largest(s + i * length_, length_), score) * scale;
        own[i] = exp_negative(score * scale - top);
        sums[i] = exponentials(s + i * length_, length_, scale, top) + own[i];
      }
      float* o = &attended_[at(first * dim_ + head * head_dim_)];
      weighted_values(s, &cache[at(kv_dim_ + kv)], 2 * kv_dim_, o, n, length_);
      for (std::int64_t i = 0; i < n; ++i) {
        const float* v = &qkv_[at((first + i) * width_ + dim_ + kv_dim_ + kv)];
        for (std::int64_t j = 0; j < head_dim_; ++j) o[i * dim_ + j] = (o[i * dim_ + j] + own[i] * v[j]) / sums[i];
      }
    });
  }

  int threads_;
  std::int64_t dim_ = 0, heads_ = 0, kv_heads_ = 0, head_dim_ = 0, kv_dim_ = 0, width_ = 0, hidden_ = 0, length_ = 0,
               count_ = 0;
  double largest_reference_ = 0;
  std::vector<Layer> layers_;
  Vector history_, candidates_, x_, normed_, qkv_, attended_, ffn_;
  std::vector<double> reference_;
  std::vector<Vector> cache_;   // per layer [L][k, v]
  std::vector<Vector> scores_;  // per thread [block][L + 1]
};

// ---- The protocol ---------------------------------------------------------------------------------------------------

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// CPU seconds of all threads of this process.
double cpu_now() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

nlohmann::json answer(Peer& peer, const std::string& what, std::int64_t n) {
  double seconds = 0, error = 0, cpu = 0;
  const auto timed = [&](auto&& pass) {
    const double cpu_start = cpu_now(), start = now();
    pass();
    seconds += now() - start;
    cpu += cpu_now() - cpu_start;
  };
  peer.reserve(n);
  if (what == "naive") {
    for (std::int64_t i = 0; i < n; ++i) {
      timed([&] { peer.naive(i); });
      error = std::max(error, peer.error(peer.length(), i, 1));
    }
  } else if (what == "shared") {
    timed([&] {
      peer.user();
      peer.candidates(n);
    });
    error = peer.error(0, 0, n);
  } else if (what == "candidates") {
    timed([&] { peer.candidates(n); });
    error = peer.error(0, 0, n);
  } else {
    timed([&] { peer.user(); });
    return {{"seconds", seconds}, {"cpu_seconds", cpu}, {"max_abs_error", nullptr}, {"max_rel_error", nullptr}};
  }
  return {{"seconds", seconds},
          {"cpu_seconds", cpu},
          {"max_abs_error", error},
          {"max_rel_error", error / peer.largest_reference()}};
}

int serve(const std::string& path, int threads) {
  Case test(path);
  Peer peer(test, threads);
  openblas_set_num_threads(threads);
  peer.user();
  std::string core = openblas_get_corename(), version = openblas_get_config();
  // "OpenBLAS 0.3.21 NO_AFFINITY ..." and more that says nothing about speed.
  std::istringstream words(version);
  std::string name, number;
  words >> name >> number;
  std::cout << nlohmann::json{{"ready", true},
                              {"peer", "OpenBLAS " + number},
                              {"variant", "scores in blocks of 128 rows, " + core + " kernels, " +
                                              (openblas_get_parallel() == 2 ? "OpenMP" : "pthreads")},
                              {"threads", threads}}
                   .dump()
            << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream in(line);
    std::string what, rest;
    std::int64_t n = 0;
    in >> what;
    if (what == "quit") return 0;
    const bool counted = what == "naive" || what == "shared" || what == "candidates";
    const bool known = counted ? (in >> n) && n >= 1 && n <= 1000000 : what == "user";
    if (!known || in >> rest) {
      std::cout << nlohmann::json{{"error", "not understood: " + line}}.dump() << std::endl;
      continue;
    }
    std::cout << answer(peer, what, n).dump() << std::endl;
  }
  return 0;
}

// Both libraries read the environment before main, hence a second start. Idle threads of both pools must sleep soon:
// another engine is timed between requests, and the two pools of this process would hold the CPUs against each other.
void restart_with_environment(char** argv) {
  if (std::getenv("KVCAST_PEER_STARTED") != nullptr) return;
  setenv("KVCAST_PEER_STARTED", "1", 1);
  setenv("OMP_WAIT_POLICY", "passive", 1);
  // Idle BLAS threads spin for 2^n cycles: 2^20 is 0.3 ms, the default 2^26 about 20 ms.
  setenv("OPENBLAS_THREAD_TIMEOUT", "20", 0);
  // Kernels by the CPU that is there. Some machines come with settings of OpenBLAS that make results repeatable
  // across CPUs at half the speed; the ready line says what was taken.
  unsetenv("OPENBLAS_L2_SIZE");
  const char* core = std::getenv("KVCAST_OPENBLAS_CORETYPE");
  if (core != nullptr) {
    setenv("OPENBLAS_CORETYPE", core, 1);
  } else {
    unsetenv("OPENBLAS_CORETYPE");
  }
  execv("/proc/self/exe", argv);
}

}  // namespace

int main(int argc, char** argv) {
  restart_with_environment(argv);
  std::string path;
  int threads = 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--case") path = argv[i + 1];
    if (flag == "--threads") threads = std::atoi(argv[i + 1]);
  }
  if (path.empty() || threads < 1 || threads > 256 || argc % 2 == 0) {
    std::cerr << "usage: openblas_peer --case FILE.safetensors --threads T\n";
    return 2;
  }
  try {
    return serve(path, threads);
  } catch (const std::exception& e) {
    std::cerr << "openblas_peer: " << e.what() << '\n';
    return 3;
  }
}
