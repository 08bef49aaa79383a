// Permanent worker threads: oneDNN primitives and an OpenMP pool belong to the thread that created them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace kvcast {

class WorkerPool {
 public:
  /// Errors: std::system_error when a thread cannot be made.
  explicit WorkerPool(std::int64_t size);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// Runs job(worker) on every thread at once and returns when all are done. `watch`, when there is one, is called on
  /// the calling thread every 50 ms meanwhile. The first exception of a job, or one of watch, is rethrown once
  /// all jobs are done.
  void run(const std::function<void(std::size_t worker)>& job, const std::function<void()>& watch = {});

 private:
  void work(std::size_t worker);
  void end() noexcept;

  std::mutex mutex_;
  std::condition_variable started_, finished_;
  const std::function<void(std::size_t)>* job_ = nullptr;
  std::int64_t round_ = 0;
  std::size_t busy_ = 0;
  bool over_ = false;
  std::exception_ptr error_;
  std::vector<std::thread> threads_;
};

}  // namespace kvcast
