// The driver of peers against peers of a few lines of shell.
#include "peer.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "catch.h"

namespace {

using kvcast::bench::Peer;
using kvcast::bench::PeerError;

const std::string kReady = R"(echo '{"ready":true,"peer":"sh 1","variant":"short"}'; )";

std::vector<std::string> shell(const std::string& script) { return {"/bin/sh", "-c", script}; }

TEST_CASE("a peer is asked line by line") {
  Peer peer(shell(kReady + R"(while read what n; do
    if [ "$what" = user ]; then echo '{"seconds":0.5,"max_abs_error":null,"max_rel_error":null}'
    else echo "{\"seconds\":$n,\"cpu_seconds\":2,\"max_abs_error\":0.25,\"max_rel_error\":0.125}"; fi; done)"));
  CHECK(peer.name() == "sh 1");
  CHECK(peer.variant() == "short");
  const auto first = peer.request("naive 3");
  CHECK(first.seconds == 3);
  CHECK(first.cpu_seconds == 2);
  CHECK(first.max_abs_error == 0.25);
  CHECK(first.max_rel_error == 0.125);
  const auto second = peer.request("user");
  CHECK(second.seconds == 0.5);
  CHECK(std::isnan(second.max_rel_error));
}

TEST_CASE("a peer that does not start is an error") {
  CHECK_THROWS_AS(Peer({"/nonexistent/peer"}), PeerError);
  CHECK_THROWS_AS(Peer(shell("exit 3")), PeerError);
  CHECK_THROWS_AS(Peer(shell("echo '{\"ready\":false}'")), PeerError);
  CHECK_THROWS_AS(Peer(shell("echo ready; cat")), PeerError);
  CHECK_THROWS_WITH(Peer(shell("cat"), 0.05), Catch::Contains("no answer within"));
}

TEST_CASE("an answer that is none is an error") {
  const auto ask = [](const std::string& script) {
    return Peer(shell(kReady + "read line; " + script)).request("user");
  };
  CHECK_THROWS_WITH(ask("exit 0"), Catch::Contains("ended"));
  CHECK_THROWS_WITH(ask("echo '{\"error\":\"no\"}'"), Catch::Contains("refused"));
  CHECK_THROWS_WITH(ask("echo '[1]'"), Catch::Contains("said"));
  CHECK_THROWS_WITH(ask("echo '{\"seconds\":null}'"), Catch::Contains("without a time"));
}

TEST_CASE("a peer that is gone is an error and not a signal") {
  Peer peer(shell(kReady + "exit 0"));
  for (int i = 0; i < 2; ++i) CHECK_THROWS_AS(peer.request("user"), PeerError);
}

TEST_CASE("no process outlives its peer") {
  const auto file = std::filesystem::temp_directory_path() / ("kvcast_peer_" + std::to_string(getpid()));
  {
    // It ignores the end of its input.
    Peer peer(shell("echo $$ > " + file.string() + "; " + kReady + "exec sleep 600"));
  }
  pid_t process = 0;
  std::ifstream(file) >> process;
  std::filesystem::remove(file);
  REQUIRE(process > 0);
  CHECK(kill(process, 0) == -1);
}

TEST_CASE("installed peers are those that can be executed") {
  const auto folder = std::filesystem::temp_directory_path() / ("kvcast_peers_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  CHECK(kvcast::bench::installed_peers(folder.string()).empty());
  const auto path = folder / "onnx_peer";
  std::ofstream(path) << "#!/bin/sh\n";
  CHECK(kvcast::bench::installed_peers(folder.string()).empty());
  chmod(path.c_str(), 0755);
  const auto found = kvcast::bench::installed_peers(folder.string());
  REQUIRE(found.size() == 1);
  CHECK(found[0].with("a.safetensors", 2) ==
        std::vector<std::string>{path.string(), "--case", "a.safetensors", "--threads", "2"});
  std::filesystem::remove_all(folder);
}

}  // namespace
