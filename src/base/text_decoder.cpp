#include "base/text_decoder.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

namespace kvcast {
namespace {

// The longest sign that a format is known by.
constexpr std::size_t kSignBytes = 6;
constexpr std::string_view kGzip = "\x1f\x8b";
constexpr std::string_view kUtf8 = "\xef\xbb\xbf", kLittle = "\xff\xfe", kBig = "\xfe\xff";

struct Refused {
  std::string_view sign, problem, hint;
};
using namespace std::string_view_literals;
constexpr const char* kUncompress = "uncompress it, or save it with gzip";
constexpr std::array kRefused = {
    Refused{"PK\x03\x04"sv, "is an Excel workbook or another zip archive", "save the sheet as CSV, or unpack it"},
    Refused{"\xd0\xcf\x11\xe0"sv, "is an old Excel workbook", "save the sheet as CSV"},
    Refused{"PAR1"sv, "is a Parquet file", "save it as CSV"},
    Refused{"\x28\xb5\x2f\xfd"sv, "is compressed with zstd", kUncompress},
    Refused{"\xfd\x37zXZ"sv, "is compressed with xz", kUncompress},
    Refused{"BZh"sv, "is compressed with bzip2", kUncompress},
    Refused{"\x04\x22\x4d\x18"sv, "is compressed with lz4", kUncompress},
    Refused{"\xff\xfe\x00\x00"sv, "is UTF-32", "save it as UTF-8"},
    Refused{"\x00\x00\xfe\xff"sv, "is UTF-32", "save it as UTF-8"},
};

const Refused* refused(std::string_view text) {
  const auto found = std::find_if(kRefused.begin(), kRefused.end(),
                                  [&](const Refused& format) { return text.starts_with(format.sign); });
  return found == kRefused.end() ? nullptr : found;
}

enum class Encoding { utf8, little, big };

// Without a mark: text of a head begins with letters, whose other half is 0.
Encoding encoding_of(std::string_view text, std::size_t& mark_bytes) {
  mark_bytes = 0;
  if (text.starts_with(kLittle) || text.starts_with(kBig)) {
    mark_bytes = 2;
    return text.starts_with(kLittle) ? Encoding::little : Encoding::big;
  }
  if (text.starts_with(kUtf8)) mark_bytes = kUtf8.size();
  if (text.size() < 4) return Encoding::utf8;
  const auto letters = [&](std::size_t first) {
    return text[first] != 0 && text[first + 2] != 0 && text[1 - first] == 0 && text[3 - first] == 0;
  };
  return letters(0) ? Encoding::little : letters(1) ? Encoding::big : Encoding::utf8;
}

void append_utf8(std::uint32_t c, std::string& text) {
  const auto put = [&](std::uint32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3F));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

}  // namespace

struct TextDecoder::Impl {
  std::string problem, hint;
  std::string held;  // bytes that do not yet tell the format of the file
  bool started = false, gzip = false, member_ended = false;
  z_stream stream = {};
  std::string first;  // uncompressed bytes that do not yet tell the encoding
  bool known = false;
  Encoding encoding = Encoding::utf8;
  std::string half;             // of a character of UTF-16
  std::uint32_t surrogate = 0;  // the first of two

  ~Impl() {
    if (gzip) inflateEnd(&stream);
  }

  bool fail(std::string_view what, std::string_view what_to_do) {
    problem = what;
    hint = what_to_do;
    return false;
  }

  bool start() {
    started = true;
    if (const Refused* format = refused(held)) return fail(format->problem, format->hint);
    if (!held.starts_with(kGzip)) return true;
    // 16: a gzip file and nothing else.
    if (inflateInit2(&stream, 15 + 16) != Z_OK) return fail("cannot be uncompressed: no memory", "");
    gzip = true;
    return true;
  }

  bool take(std::string_view bytes, std::string& text) {
    if (!started) {
      held += bytes;
      if (held.size() < kSignBytes) return true;
      if (!start()) return false;
      bytes = held;
    }
    return gzip ? uncompress(bytes, text) : decode(bytes, text);
  }

  bool uncompress(std::string_view bytes, std::string& text) {
    std::string block(std::size_t{1} << 16, '\0');
    while (!bytes.empty()) {
      // Files may be one behind the other; what is no other is padding, as gzip itself takes it.
      if (member_ended) {
        if (bytes.find_first_not_of('\0') == std::string_view::npos) return true;
        if (inflateReset(&stream) != Z_OK) return fail("cannot be uncompressed", "");
        member_ended = false;
      }
      const std::size_t given = std::min<std::size_t>(bytes.size(), std::numeric_limits<uInt>::max());
      // zlib does not write to what it reads.
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
      stream.avail_in = static_cast<uInt>(given);
      do {
        stream.next_out = reinterpret_cast<Bytef*>(block.data());
        stream.avail_out = static_cast<uInt>(block.size());
        const int result = inflate(&stream, Z_NO_FLUSH);
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
          return fail("is gzip-compressed and damaged", "download it again, or try gunzip");
        }
        if (!decode(std::string_view(block).substr(0, block.size() - stream.avail_out), text)) return false;
        member_ended = result == Z_STREAM_END;
      } while (!member_ended && stream.avail_out == 0);
      bytes.remove_prefix(given - stream.avail_in);
    }
    return true;
  }

  bool decode(std::string_view bytes, std::string& text) {
    if (known) return append(bytes, text);
    first += bytes;
    if (first.size() < kSignBytes) return true;
    return decode_first(text);
  }

  bool decode_first(std::string& text) {
    known = true;
    if (const Refused* format = refused(first)) return fail(format->problem, format->hint);
    std::size_t mark_bytes = 0;
    encoding = encoding_of(first, mark_bytes);
    return append(std::string_view(first).substr(mark_bytes), text);
  }

  bool append(std::string_view bytes, std::string& text) {
    if (encoding == Encoding::utf8) {
      text += bytes;
      return true;
    }
    half += bytes;
    std::size_t at = 0;
    for (; at + 1 < half.size(); at += 2) {
      const auto byte = [&](std::size_t i) {
        return static_cast<std::uint32_t>(static_cast<unsigned char>(half[at + i]));
      };
      const std::uint32_t unit = encoding == Encoding::little ? byte(0) | byte(1) << 8 : byte(0) << 8 | byte(1);
      const bool second = unit >= 0xDC00 && unit < 0xE000;
      if (second != (surrogate != 0)) return fail("is UTF-16 and damaged", "save it as UTF-8");
      if (unit >= 0xD800 && unit < 0xDC00) {
        surrogate = unit;
        continue;
      }
      append_utf8(second ? 0x10000 + ((surrogate - 0xD800) << 10) + (unit - 0xDC00) : unit, text);
      surrogate = 0;
    }
    half.erase(0, at);
    return true;
  }

  bool end(std::string& text) {
    if (!started) {
      if (!start()) return false;
      if (!(gzip ? uncompress(held, text) : decode(held, text))) return false;
    }
    if (gzip && !member_ended) return fail("is gzip-compressed and ends too early", "download it again");
    if (!known && !decode_first(text)) return false;
    if (!half.empty() || surrogate != 0) return fail("is UTF-16 and ends within a character", "save it as UTF-8");
    return true;
  }
};

TextDecoder::TextDecoder() : impl_(std::make_unique<Impl>()) {}
TextDecoder::~TextDecoder() = default;
bool TextDecoder::take(std::string_view bytes, std::string& text) { return impl_->take(bytes, text); }
bool TextDecoder::end(std::string& text) { return impl_->end(text); }
const std::string& TextDecoder::problem() const noexcept { return impl_->problem; }
const std::string& TextDecoder::hint() const noexcept { return impl_->hint; }

bool is_encoded(std::string_view first_bytes) {
  std::size_t mark_bytes = 0;
  return first_bytes.starts_with(kGzip) || refused(first_bytes) != nullptr ||
         encoding_of(first_bytes, mark_bytes) != Encoding::utf8;
}

}  // namespace kvcast
