// Another implementation of the model as a process of its own, asked by lines: README.md beside this file.
#pragma once

#include <sys/types.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace kvcast::bench {

/// The peer did not start, did not answer in time, or answered nonsense.
struct PeerError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct PeerAnswer {
  double seconds = 0;
  double cpu_seconds = 0;  ///< of all its threads
  /// Against the case's reference, absolute and over the largest value of the reference; NaN when there is nothing to
  /// compare (`user`).
  double max_abs_error = 0, max_rel_error = 0;
};

/// A running peer. Not copyable; the destructor ends the process.
class Peer {
 public:
  /// Starts `command` (found along PATH when it has no '/') and waits for its ready line; throws PeerError.
  explicit Peer(const std::vector<std::string>& command, double ready_timeout_s = 120);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  const std::string& name() const { return name_; }        ///< library and version
  const std::string& variant() const { return variant_; }  ///< how it computes

  /// `naive K`, `shared N`, `user` or `candidates N`, once; throws PeerError, after which the peer is of no use.
  PeerAnswer request(const std::string& line, double timeout_s = 600);

 private:
  std::string read_line(double timeout_s);
  void end();

  pid_t process_ = -1;
  int socket_ = -1;  // the peer's standard input and output
  std::string pending_, name_, variant_;
};

/// A peer that this build has.
struct PeerCommand {
  std::string path;
  std::vector<std::string> with(const std::string& case_file, int threads) const {
    return {path, "--case", case_file, "--threads", std::to_string(threads)};
  }
};
/// Those in `folder` (build/release/bench/peers): openblas_peer when OpenBLAS was found, onnx_peer after setup.sh.
std::vector<PeerCommand> installed_peers(const std::string& folder);

}  // namespace kvcast::bench
