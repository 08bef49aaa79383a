#include "peer.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

namespace kvcast::bench {
namespace {

using Clock = std::chrono::steady_clock;

// How long a peer that was told to quit may take before it is killed.
constexpr double kPatience_s = 1;

nlohmann::json parse(const std::string& line) {
  auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object()) throw PeerError("the peer said: " + line);
  if (json.contains("error")) throw PeerError("the peer refused: " + json["error"].dump());
  return json;
}

double number(const nlohmann::json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number() ? found->get<double>() : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

Peer::Peer(const std::vector<std::string>& command, double ready_timeout_s) {
  // A socket rather than two pipes: a write to a peer that died is then an error and not a signal.
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw PeerError(std::strerror(errno));
  socket_ = ends[0];
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  std::vector<std::string> words = command;
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const int failed = posix_spawnp(&process_, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (failed != 0) {
    process_ = -1;
    end();
    throw PeerError(command[0] + ": " + std::strerror(failed));
  }
  try {
    const auto ready = parse(read_line(ready_timeout_s));
    if (!ready.value("ready", false)) throw PeerError("the peer is not ready: " + ready.dump());
    name_ = ready.value("peer", "");
    variant_ = ready.value("variant", "");
  } catch (const std::exception& e) {
    end();
    throw PeerError(command[0] + ": " + e.what());
  }
}

Peer::~Peer() { end(); }

PeerAnswer Peer::request(const std::string& line, double timeout_s) {
  const std::string text = line + "\n";
  if (send(socket_, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) {
    throw PeerError(name_ + " is gone");
  }
  const auto json = parse(read_line(timeout_s));
  const PeerAnswer answer{number(json, "seconds"), number(json, "cpu_seconds"), number(json, "max_abs_error"),
                          number(json, "max_rel_error")};
  if (!(answer.seconds > 0)) throw PeerError(name_ + " answered without a time: " + json.dump());
  return answer;
}

std::string Peer::read_line(double timeout_s) {
  const auto deadline = Clock::now() + std::chrono::duration<double>(timeout_s);
  for (;;) {
    const std::size_t newline = pending_.find('\n');
    if (newline != std::string::npos) {
      std::string line = pending_.substr(0, newline);
      pending_.erase(0, newline + 1);
      return line;
    }
    const double left_ms = std::chrono::duration<double, std::milli>(deadline - Clock::now()).count();
    if (left_ms <= 0) throw PeerError("no answer within " + std::to_string(timeout_s) + " s");
    pollfd wait{socket_, POLLIN, 0};
    const int found = poll(&wait, 1, static_cast<int>(std::min(std::ceil(left_ms), 1e6)));
    if (found < 0 && errno != EINTR) throw PeerError(std::strerror(errno));
    if (found <= 0) continue;
    char part[4096];
    const ssize_t got = recv(socket_, part, sizeof part, 0);
    if (got == 0 || (got < 0 && errno != EINTR)) throw PeerError("the peer ended");
    if (got > 0) pending_.append(part, static_cast<std::size_t>(got));
  }
}

void Peer::end() {
  if (socket_ >= 0) {
    // End of input tells it to stop, whatever it is doing next.
    close(socket_);
    socket_ = -1;
  }
  if (process_ < 0) return;
  const auto deadline = Clock::now() + std::chrono::duration<double>(kPatience_s);
  while (waitpid(process_, nullptr, WNOHANG) == 0) {
    if (Clock::now() > deadline) {
      kill(process_, SIGKILL);
      waitpid(process_, nullptr, 0);
      break;
    }
    usleep(5000);
  }
  process_ = -1;
}

std::vector<PeerCommand> installed_peers(const std::string& folder) {
  std::vector<PeerCommand> found;
  for (const char* name : {"openblas_peer", "onnx_peer"}) {
    const std::string path = folder + "/" + name;
    if (access(path.c_str(), X_OK) == 0) found.push_back({path});
  }
  return found;
}

}  // namespace kvcast::bench
