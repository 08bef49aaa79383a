// Requests to simulate or replay: a trace in time-shifted copies, or drawn.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kvcast/traffic.h"
#include "traffic/request.h"

namespace kvcast::traffic {

/// What a first pass over a workload tells.
struct WorkloadSummary {
  std::int64_t requests = 0, users = 0, skipped_rows = 0;
  double duration_s = 0, requests_per_s = 0;
  std::vector<WorkloadColumn> columns;
  std::vector<std::string> assumptions;  ///< what was filled in, scaled or cut, in words
};

class Workload {
 public:
  /// Reads a trace once, to check it and to know its span and rate; keeps an index of it, not the rows.
  /// Errors: IoError; ConfigError naming file, line, column and value, or the option that is missing.
  explicit Workload(const WorkloadOptions& options);
  Workload(Workload&&) noexcept;
  Workload& operator=(Workload&&) noexcept;
  ~Workload();

  /// The same files under other options (rate, candidates, ...); they are not read again.
  Workload with(const WorkloadOptions& options) const;

  /// The requests of one replication, the same for the same number. A trace has the same rows in every replication:
  /// what differs is what is drawn, and the time shifts of its copies.
  std::unique_ptr<RequestSource> requests(std::uint64_t replication) const;
  /// Of replication 0.
  WorkloadSummary summary() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kvcast::traffic
