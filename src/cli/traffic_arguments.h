// Options that simulate and replay share: the requests, and the cache between them.
#pragma once

#include <optional>
#include <string>

#include "common.h"

namespace kvcast::cli {

class TrafficArguments {
 public:
  /// timings: --columns may also be those of timings.
  void attach(CLI::App& app, bool timings = false);
  /// Errors: ConfigError naming the flag.
  WorkloadOptions workload() const;
  UserCacheOptions cache() const;
  std::optional<double> p99_s() const;
  double warm_up() const;
  ColumnNames timing_columns() const;

 private:
  WorkloadOptions workload_;
  UserCacheOptions cache_;
  std::optional<std::string> qps_, history_, candidates_, cache_bytes_, ttl_, p99_;
  std::vector<std::string> columns_;  ///< of traces, and of timings where it names theirs
  std::string skip_bad_rows_;
  std::string warm_up_ = "0.1", history_scale_ = "1", zipf_ = "1", growth_ = "1";
  std::optional<std::int64_t> requests_;
  std::int64_t seed_ = 1;
  bool timings_ = false;
};

}  // namespace kvcast::cli
