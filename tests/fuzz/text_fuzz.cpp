// Files as people keep them: gzip, UTF-16, byte order marks.
#include <optional>
#include <string>

#include "base/text_decoder.h"
#include "fuzz/properties.h"
#include "fuzz/target.h"

namespace kvcast::fuzz {
namespace {

std::optional<std::string> decoded(std::string_view bytes, std::size_t piece) {
  TextDecoder decoder;
  std::string text;
  bool good = true;
  for (std::size_t at = 0; good && at < bytes.size(); at += piece) good = decoder.take(bytes.substr(at, piece), text);
  if (good && decoder.end(text)) return text;
  require(!decoder.problem().empty(), "what is refused is refused for a reason");
  return std::nullopt;
}

}  // namespace

void text(std::string_view input) {
  const auto whole = decoded(input, input.size() + 1);
  require(decoded(input, 1) == whole, "text does not depend on the pieces that it comes in");
  if (!is_encoded(input.substr(0, 16)) && !input.starts_with("\xef\xbb\xbf")) {
    require(whole == std::string(input), "plain text stays as it is");
  }
}

}  // namespace kvcast::fuzz
