// Requests to simulate or replay: a trace in time-shifted copies, or drawn.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kvcast/traffic.h"
#include "traffic/log.h"
#include "traffic/request.h"

namespace kvcast::traffic {

/// Summary of a first pass over a workload.
struct WorkloadSummary {
  std::int64_t requests = 0, users = 0;
  std::string log_file;                         ///< of a trace or of arrivals; empty: none
  std::int64_t log_rows = 0, skipped_rows = 0;  ///< of it, in all, and bad ones
  Ticks ticks;                                  ///< of its clock; none once they are spread
  std::vector<std::string> reading;             ///< how the file was read, in words
  double duration_s = 0, requests_per_s = 0;
  std::vector<WorkloadColumn> columns;
  std::vector<std::string> assumptions;  ///< what was filled in, scaled or cut, in words
};

class Workload {
 public:
  /// Reads a trace once, and keeps its rows (log_rows.h). Memory grows with them up to 64 MiB, and with the users of a
  /// synthetic workload (8 bytes each, 4 more in each source).
  /// Errors: IoError; ConfigError naming file, line, column and value, or the option that is missing.
  explicit Workload(const WorkloadOptions& options);
  Workload(Workload&&) noexcept;
  Workload& operator=(Workload&&) noexcept;
  ~Workload();

  /// The same files under other options (rate, candidates, ...); they are not read again. Errors: as the constructor.
  Workload with(const WorkloadOptions& options) const;

  /// The requests of one replication, the same for the same number. A trace has the same rows in every replication;
  /// only the drawn values, the time shifts of its copies and the users kept by a partial copy differ.
  /// The workload must outlive the source, and may serve many threads.
  std::unique_ptr<RequestSource> requests(std::uint64_t replication) const;
  /// The number of requests in replication 0, without reading them.
  std::int64_t count() const;
  /// Summary of replication 0, by reading it. Quantiles within 0.2%. Errors: ConfigError when there are no requests.
  WorkloadSummary summary() const;

 private:
  struct Impl;
  explicit Workload(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

/// The requests as a trace, in pieces of text. Histories and candidates are as they stand; the first request is at 0.
void write_trace(RequestSource& requests, const std::function<void(std::string_view)>& sink);

}  // namespace kvcast::traffic
