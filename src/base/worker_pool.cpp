#include "base/worker_pool.h"

#include <chrono>
#include <utility>

namespace kvcast {

WorkerPool::WorkerPool(std::int64_t size) {
  try {
    for (std::size_t i = 0; i < static_cast<std::size_t>(size); ++i) threads_.emplace_back([this, i] { work(i); });
  } catch (...) {
    end();
    throw;
  }
}

WorkerPool::~WorkerPool() { end(); }

void WorkerPool::end() noexcept {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  started_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::run(const std::function<void(std::size_t)>& job, const std::function<void()>& watch) {
  std::unique_lock lock(mutex_);
  job_ = &job;
  error_ = nullptr;
  busy_ = threads_.size();
  ++round_;
  started_.notify_all();
  std::exception_ptr seen;
  while (!finished_.wait_for(lock, std::chrono::milliseconds(50), [this] { return busy_ == 0; })) {
    if (!watch || seen) continue;
    lock.unlock();
    try {
      watch();
    } catch (...) {
      seen = std::current_exception();
    }
    lock.lock();
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  if (seen) std::rethrow_exception(seen);
}

void WorkerPool::work(std::size_t worker) {
  std::int64_t done = 0;
  std::unique_lock lock(mutex_);
  while (true) {
    started_.wait(lock, [&] { return over_ || round_ > done; });
    if (over_) return;
    done = round_;
    const std::function<void(std::size_t)>& job = *job_;
    lock.unlock();
    std::exception_ptr error;
    try {
      job(worker);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error && !error_) error_ = error;
    if (--busy_ == 0) finished_.notify_all();
  }
}

}  // namespace kvcast
