// A whole file as text.
#pragma once

#include <string>

namespace kvcast {

/// The text of a file, or of standard input for "-"; uncompressed and in UTF-8 where it is kept otherwise
/// (base/text_decoder.h). Errors: IoError when it cannot be read or is larger than 1 GiB, ConfigError when a line is
/// longer than 128 MiB, both before more of it is in memory; ConfigError when it is no text that can be decoded.
std::string read_file(const std::string& path);

}  // namespace kvcast
