// Files as people keep them, to the UTF-8 text in them: compressed by gzip, in UTF-16, with a byte order mark.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace kvcast {

/// Takes a file piece by piece. What is neither compressed nor UTF-16 comes out as it is, without the byte order mark
/// of UTF-8.
class TextDecoder {
 public:
  TextDecoder();
  ~TextDecoder();
  TextDecoder(const TextDecoder&) = delete;
  TextDecoder& operator=(const TextDecoder&) = delete;

  /// Appends to `text` what `bytes` hold; end() what is left. False with a problem.
  bool take(std::string_view bytes, std::string& text);
  bool end(std::string& text);
  /// "is an Excel workbook or another zip archive", and what to do about it.
  const std::string& problem() const noexcept;
  const std::string& hint() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Whether a file that begins like this has to go through a TextDecoder before its bytes are text; also where that
/// refuses it. A byte order mark of UTF-8 alone is no reason.
bool is_encoded(std::string_view first_bytes);

}  // namespace kvcast
