#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/temporary.h"
#include "kvcast/error.h"
#include "kvcast/kvcast.h"
#include "report/format.h"

namespace kvcast {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& action, const fs::path& path, int error) {
  throw IoError(path.string(), "cannot " + action + ": " + std::strerror(error));
}

class File {
 public:
  File(const fs::path& path, int flags) : path_(path), descriptor_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {
    if (descriptor_ < 0) fail("open", path_, errno);
  }
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  void write(const std::string& text) {
    std::size_t done = 0;
    while (done < text.size()) {
      const ssize_t written = ::write(descriptor_, text.data() + done, text.size() - done);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail("write", path_, errno);
      done += static_cast<std::size_t>(written);
    }
  }
  void sync() {
    // EINVAL: the file system has nothing to flush to.
    if (::fsync(descriptor_) != 0 && errno != EINVAL) fail("flush", path_, errno);
  }
  void close() {
    if (::close(std::exchange(descriptor_, -1)) != 0) fail("close", path_, errno);
  }

 private:
  fs::path path_;
  int descriptor_;
};

/// The new files under their temporary names; those not renamed are removed on exit.
class Staging {
 public:
  Staging() = default;
  ~Staging() {
    for (const auto& [temporary, target] : files_) ::unlink(temporary.c_str());
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  void add(const fs::path& target, const std::string& text) {
    const fs::path temporary = target.parent_path() / ("." + target.filename().string() + ".tmp");
    files_.emplace_back(temporary, target);
    temporary_.emplace_back(temporary.string());
    File file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
    file.write(text);
    file.sync();
    file.close();
  }
  void publish() {
    for (const auto& [temporary, target] : files_) {
      if (::rename(temporary.c_str(), target.c_str()) != 0) fail("rename to", target, errno);
    }
    files_.clear();
  }

 private:
  std::vector<std::pair<fs::path, fs::path>> files_;
  std::vector<Temporary> temporary_;
};

}  // namespace

std::vector<std::string> write_files(const std::vector<std::pair<std::string, std::string>>& files,
                                     const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail("create folder", folder, error.value());

  Staging staging;
  std::vector<std::string> paths;
  for (const auto& [name, text] : files) {
    const fs::path path = fs::path(folder) / name;
    staging.add(path, text);
    paths.push_back(path.string());
  }
  staging.publish();
  File(folder, O_RDONLY | O_DIRECTORY).sync();
  return paths;
}

std::vector<std::string> write_report(const Report& report, const std::string& folder) {
  std::vector<std::pair<std::string, std::string>> files;
  // A workbook goes through temporary files; where they fail, the other files are written first.
  std::exception_ptr failed;
  const auto render_all = [&](const std::vector<report::Format>& formats) {
    for (const auto& format : formats) {
      if (*format.file == '\0') continue;
      try {
        files.emplace_back(format.file, format.render(report, {}));
      } catch (const IoError&) {
        failed = std::current_exception();
      }
    }
  };
  render_all(report::format_list());
  if (report.sizing) render_all(report::sizing_format_list());
  if (report.traffic) render_all(report::traffic_format_list());
  std::vector<std::string> paths = write_files(files, folder);
  if (failed) std::rethrow_exception(failed);
  return paths;
}

}  // namespace kvcast
