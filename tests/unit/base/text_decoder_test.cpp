#include "base/text_decoder.h"

#include <zlib.h>

#include <string>
#include <string_view>

#include "catch.h"

namespace kvcast {
namespace {

using namespace std::string_literals;

std::string gzip(const std::string& text) {
  z_stream stream = {};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string bytes(text.size() + 1000, '\0');
  std::string input = text;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  bytes.resize(stream.total_out);
  deflateEnd(&stream);
  return bytes;
}

std::string utf16(const std::u16string& text, bool little) {
  std::string bytes;
  for (const char16_t unit : text) {
    const char low = static_cast<char>(unit & 0xFF), high = static_cast<char>(unit >> 8);
    bytes += little ? low : high;
    bytes += little ? high : low;
  }
  return bytes;
}

/// The text in pieces of `size` bytes, or "! " and the problem.
std::string decoded(const std::string& bytes, std::size_t size) {
  TextDecoder decoder;
  std::string text;
  bool good = true;
  for (std::size_t at = 0; good && at < bytes.size(); at += size) good = decoder.take(bytes.substr(at, size), text);
  if (good) good = decoder.end(text);
  return good ? text : "! " + decoder.problem();
}

void check(const std::string& bytes, const std::string& wanted) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{3}, std::size_t{7}, bytes.size() + 1}) {
    CAPTURE(size);
    CHECK(decoded(bytes, size) == wanted);
  }
}

const std::string kText = "a,b\n1,\xc3\xa9\xe5\x80\x99\xf0\x9f\x98\x80\n";  // é候 and an emoji
const std::u16string kWide = u"a,b\n1,\u00e9\u5019\U0001f600\n";

}  // namespace

TEST_CASE("text comes out of UTF-8, UTF-16 and gzip, in pieces of any size", "[decoder]") {
  check("", "");
  check("a", "a");
  check(kText, kText);
  check("\xef\xbb\xbf" + kText, kText);
  check("\xff\xfe" + utf16(kWide, true), kText);
  check("\xfe\xff" + utf16(kWide, false), kText);
  check(utf16(kWide, true), kText);  // without a mark
  check(utf16(kWide, false), kText);
  check(gzip(kText), kText);
  check(gzip(""), "");
  check(gzip(kText) + gzip(kText), kText + kText);
  check(gzip(kText) + "\0\0\0"s, kText);
  check(gzip("\xff\xfe" + utf16(kWide, true)), kText);
  check(gzip(std::string(1'000'000, 'x')), std::string(1'000'000, 'x'));
  check("x\0y"s, "x\0y"s);  // for its reader to refuse
}

TEST_CASE("what is no text, or only a part of one, is named", "[decoder]") {
  check("PK\x03\x04rest of it", "! is an Excel workbook or another zip archive");
  check("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "! is an old Excel workbook");
  check("PAR1......", "! is a Parquet file");
  check("\x28\xb5\x2f\xfd......", "! is compressed with zstd");
  check(
      "\xfd"
      "7zXZ\0..."s,
      "! is compressed with xz");
  check("BZh91AY&SY", "! is compressed with bzip2");
  check("\xff\xfe\0\0a\0\0\0"s, "! is UTF-32");
  check(gzip("PK\x03\x04rest"), "! is an Excel workbook or another zip archive");
  const std::string whole = gzip(kText);
  check(whole.substr(0, whole.size() - 3), "! is gzip-compressed and ends too early");
  check(whole.substr(0, 4), "! is gzip-compressed and ends too early");
  check("\x1f\x8b\x08 no, it is not", "! is gzip-compressed and damaged");
  check(whole + "rest", "! is gzip-compressed and damaged");
  check(
      "\xff\xfe"
      "a\0b"s,
      "! is UTF-16 and ends within a character");
  check(
      "\xff\xfe"
      "a\0\x3d\xd8"s,
      "! is UTF-16 and ends within a character");
  check(
      "\xff\xfe"
      "a\0\x00\xde"
      "b\0"s,
      "! is UTF-16 and damaged");
}

TEST_CASE("files that need no decoding are known by how they begin", "[decoder]") {
  for (const std::string& plain : {kText, "\xef\xbb\xbf" + kText, ""s, "a"s, "1,2"s}) CHECK_FALSE(is_encoded(plain));
  for (const std::string& other : {gzip(kText), "\xff\xfe" + utf16(kWide, true), utf16(kWide, false), "PK\x03\x04"s}) {
    CHECK(is_encoded(std::string_view(other).substr(0, 16)));
  }
}

}  // namespace kvcast
