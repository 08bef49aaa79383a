// kvcast info: this machine and this build.
#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <string>

#include "common.h"

namespace kvcast::cli {
namespace {

std::string info_text(const ToolInfo& tool, const MachineInfo& machine, std::int64_t measured_threads) {
  const std::string on = fmt::format("on {} thread{}", measured_threads, measured_threads == 1 ? "" : "s");
  std::string out;
  const auto line = [&](const std::string& name, const std::string& value) {
    out += fmt::format("{:<15}{}\n", name, value);
  };
  line("CPU", machine.cpu_model);
  line("ISA",
       fmt::format("{}, dense products {}; --isa: {}", machine.isa, machine.dense_isa, fmt::join(isa_names(), ", ")));
  line("CPUs usable", std::to_string(machine.threads));
  line("memory", machine.memory_bytes ? human_bytes(*machine.memory_bytes) : "unknown");
  line("FMA peak",
       machine.peak_gflops ? fmt::format("{:.1f} GFLOP/s (fp32, {})", *machine.peak_gflops, on) : "unknown");
  line("bf16 peak", machine.bf16_peak_gflops ? fmt::format("{:.1f} GFLOP/s ({})", *machine.bf16_peak_gflops, on)
                                             : "no bf16 dot product on this ISA");
  line("DRAM read", machine.read_gb_per_s ? fmt::format("{:.1f} GB/s ({})", *machine.read_gb_per_s, on) : "unknown");
  line("kvcast", fmt::format("{} (commit {})", tool.version, tool.git_commit));
  line("compiler", fmt::format("{}, {}", tool.compiler, tool.build_type));
  for (const auto& [name, version] : tool.dependencies) line(name, version);
  return out;
}

std::string info_json(const ToolInfo& tool, const MachineInfo& machine, std::int64_t measured_threads) {
  JsonWriter json;
  json.begin_object().begin_object("tool");
  json.field("version", tool.version).field("git_commit", tool.git_commit);
  json.field("compiler", tool.compiler).field("build_type", tool.build_type).begin_object("dependencies");
  for (const auto& [name, version] : tool.dependencies) json.field(name, version);
  json.end_object().end_object().begin_object("machine");
  json.field("cpu_model", machine.cpu_model).field("isa", machine.isa);
  json.field("dense_isa", machine.dense_isa).field("threads", machine.threads);
  json.field("memory_bytes", machine.memory_bytes).field("peak_gflops", machine.peak_gflops);
  json.field("bf16_peak_gflops", machine.bf16_peak_gflops);
  json.field("read_gb_per_s", machine.read_gb_per_s).end_object();
  return json.field("measured_threads", measured_threads).end_object().str();
}

class InfoCommand : public Command {
 public:
  explicit InfoCommand(CLI::App& app)
      : Command(app.add_subcommand("info", "Show CPU, ISA, memory, measured peak and library versions")),
        format_(*app_, {"table", "json"}) {
    arguments_.attach_field(*app_, "run.threads");
    arguments_.attach_field(*app_, "run.isa");
    app_->footer(
        "Examples:\n"
        "  kvcast info --threads 1\n"
        "  kvcast info --format json");
  }

  int execute() override {
    format_.check();
    const Config config = arguments_.load(host_limits());
    const std::int64_t threads = config.run.threads;
    select_isa(config.run.isa);
    write_ignored_variables();
    const ToolInfo tool = tool_info();
    const MachineInfo machine = machine_info(threads);
    write_stdout(format_.name() == "json" ? info_json(tool, machine, threads) : info_text(tool, machine, threads));
    return kExitOk;
  }

 private:
  ConfigArguments arguments_;
  FormatOption format_;
};

}  // namespace

std::unique_ptr<Command> make_info_command(CLI::App& app) { return std::make_unique<InfoCommand>(app); }

}  // namespace kvcast::cli
