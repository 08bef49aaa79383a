#include "engine/builtin/model/safetensors.h"

#include <sys/stat.h>

#include <cmath>
#include <limits>

#include "base/parallel.h"
#include "stored_file.h"

using namespace kvcast;
using namespace kvcast::testing;

namespace {

std::vector<float> values_of(const SafetensorsFile& file, const std::string& name) {
  const FileTensor* tensor = file.find(name);
  REQUIRE(tensor != nullptr);
  REQUIRE(tensor->numbers);
  std::vector<float> values(static_cast<std::size_t>(tensor->elements));
  file.read(*tensor, 0, values);
  return values;
}

std::string fault_of(const std::string& bytes) {
  const TemporaryFile file;
  file.write(bytes);
  return fault(file.path(), [&] { SafetensorsFile opened(file.path()); });
}

// The fault of a file whose only tensor 'a' has these members.
std::string entry_fault(const std::string& members, std::size_t data_bytes = 8) {
  return fault_of(stored("{\"a\":{" + members + "}}", std::string(data_bytes, '\0')));
}

constexpr float kInf = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("what is written is read", "[model][safetensors]") {
  const TemporaryFile file;
  const std::vector<float> singles = {1, -2.5f, 3e-40f, 0x1.fffffep127f, -0.0f, 1 / 3.0f};
  const std::vector<double> doubles = {0.1, 1e300, -1e300, 1e-300};
  // Ties to even: 1 + 1/256 goes down to 1, 1 + 3/256 up to 1 + 4/256.
  const std::vector<float> rounded = {1 + 1 / 256.0f, 1 + 3 / 256.0f, -1.5f, 0x1.fffffep127f};
  const std::string text = "{\"a\\b\":\"\n\x01\"} \xC3\xA9";
  write_safetensors(file.path(), {{"kvcast.config", text}, {"", "empty"}},
                    {{"half", {2, 2}, [&] { return rounded; }, {}, kernels::Element::bf16},
                     {"single", {2, 3}, [&] { return singles; }, {}},
                     {"double", {4, 1, 1}, {}, [&] { return doubles; }}});
  CHECK(std::distance(std::filesystem::directory_iterator(file.folder()), {}) == 1);

  const SafetensorsFile opened(file.path());
  CHECK(opened.metadata() == std::map<std::string, std::string>{{"kvcast.config", text}, {"", "empty"}});
  CHECK(opened.tensors().size() == 3);
  CHECK(opened.find("single")->dtype == "F32");
  CHECK(opened.find("single")->shape == std::vector<std::int64_t>{2, 3});
  CHECK(opened.find("double")->dtype == "F64");
  CHECK(opened.find("double")->shape == std::vector<std::int64_t>{4, 1, 1});
  CHECK(opened.find("half")->dtype == "BF16");
  CHECK(opened.find("half")->end - opened.find("half")->begin == 8);
  CHECK(opened.find("none") == nullptr);

  const std::vector<float> read = values_of(opened, "single");
  CHECK(read == singles);
  CHECK(std::signbit(read[4]));
  CHECK(values_of(opened, "double") == std::vector<float>{0.1f, kInf, -kInf, 0});
  CHECK(values_of(opened, "half") == std::vector<float>{1, 1 + 4 / 256.0f, -1.5f, kInf});
}

TEST_CASE("a file made elsewhere is read: any order, no padding, types that are not floats", "[model][safetensors]") {
  const TemporaryFile file;
  // The header has an odd length, so that no tensor is aligned; "b" stands first but lies last.
  file.write(
      stored("{\"b\":{\"data_offsets\":[10,22],\"shape\":[3],\"dtype\":\"F32\"},"
             "\"bool\":{\"dtype\":\"BOOL\",\"shape\":[2,1],\"data_offsets\":[0,2]},"
             "\"none\":{\"dtype\":\"F16\",\"shape\":[0,7],\"data_offsets\":[2,2]},"
             "\"fours\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[22,24]},"
             "\"scalar\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[2,10]}}  ",
             std::string("\1\0", 2) + raw({-0.75}) + raw({1.0f, 2.0f, 3.0f}) + "\x12\x34"));
  const SafetensorsFile opened(file.path());
  CHECK(opened.metadata().empty());
  CHECK(values_of(opened, "b") == std::vector<float>{1, 2, 3});
  CHECK(values_of(opened, "scalar") == std::vector<float>{-0.75f});
  CHECK(values_of(opened, "none").empty());
  CHECK_FALSE(opened.find("bool")->numbers);
  CHECK_FALSE(opened.find("fours")->numbers);
  std::vector<float> tail(2);
  opened.read(*opened.find("b"), 1, tail);
  CHECK(tail == std::vector<float>{2, 3});
}

TEST_CASE("every half is read as the number it stands for", "[model][safetensors]") {
  const TemporaryFile file;
  std::string data;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) data += raw({static_cast<std::uint16_t>(bits)});
  file.write(stored(R"({"a":{"dtype":"F16","shape":[65536],"data_offsets":[0,131072]}})", data));
  const std::vector<float> read = values_of(SafetensorsFile(file.path()), "a");
  std::int64_t wrong = 0;
  for (int bits = 0; bits < 65536; ++bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    if (exponent == 31) magnitude = fraction == 0 ? kInf : std::numeric_limits<double>::quiet_NaN();
    const double value = bits < 32768 ? magnitude : -magnitude;
    const float found = read[static_cast<std::size_t>(bits)];
    const bool same = std::isnan(value) ? std::isnan(found) : found == value && std::signbit(found) == (bits >= 32768);
    wrong += same ? 0 : 1;
  }
  CHECK(wrong == 0);
  CHECK(read[0x0001] == 0x1p-24f);  // the smallest subnormal
  CHECK(read[0x7BFF] == 65504);
  CHECK(read[0xFC00] == -kInf);
}

TEST_CASE("threads read one file at once", "[model][safetensors]") {
  const TemporaryFile file;
  std::vector<float> values(40000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  write_safetensors(file.path(), {}, {{"a", {40000}, [&] { return values; }, {}}});
  const SafetensorsFile opened(file.path());
  std::vector<float> read(values.size());
  parallel_for(3, 400, [&](std::int64_t part, int) {
    opened.read(*opened.find("a"), part * 100, std::span(read).subspan(static_cast<std::size_t>(part) * 100, 100));
  });
  CHECK(read == values);
}

TEST_CASE("a file that cannot be read is an IoError", "[model][safetensors]") {
  const TemporaryFile file;
  const auto problem = [](const std::string& path) -> std::string {
    try {
      SafetensorsFile opened(path);
    } catch (const IoError& error) {
      return error.what();
    }
    return "no fault";
  };
  CHECK(problem(file.path()) == file.path() + ": cannot be opened: No such file or directory");
  CHECK(problem(file.folder()) == file.folder() + ": is not a regular file");
  REQUIRE(::mkfifo(file.path().c_str(), 0600) == 0);
  CHECK(problem(file.path()) == file.path() + ": is not a regular file");  // and does not wait for a writer
}

TEST_CASE("a file that is cut while it is open is an IoError, not a crash", "[model][safetensors]") {
  const TemporaryFile file;
  write_safetensors(file.path(), {}, {{"a", {100000}, [] { return std::vector<float>(100000, 1); }, {}}});
  const SafetensorsFile opened(file.path());
  std::filesystem::resize_file(file.path(), 4096);
  std::vector<float> values(100000);
  CHECK_THROWS_AS(opened.read(*opened.find("a"), 0, values), IoError);
}

TEST_CASE("faults of the header's frame", "[model][safetensors]") {
  CHECK(fault_of("") == "is only 0 bytes long; a safetensors file starts with the length of its header in 8 bytes");
  CHECK(fault_of("1234567") ==
        "is only 7 bytes long; a safetensors file starts with the length of its header in 8 bytes");
  CHECK(fault_of(std::string(8, '\xFF') + "{}") ==
        "a header of 18446744073709551615 bytes is not that of a safetensors file; at most 100000000 are allowed");
  CHECK(fault_of(raw<std::uint64_t>({100000001}) + "{}") ==
        "a header of 100000001 bytes is not that of a safetensors file; at most 100000000 are allowed");
  CHECK(fault_of(raw<std::uint64_t>({100000000}) + "{}") ==
        "the header has 100000000 bytes, of which the file holds 2; is the file complete?");
  CHECK(fault_of(stored("", "")) == "header: does not start with '{'; the header is JSON");
  CHECK(fault_of(stored(" {}", "")) == "header: does not start with '{'; the header is JSON");
  CHECK(fault_of(stored(std::string("{}\0\0", 4), "")) == "header: holds a NUL byte; the header is JSON");
  CHECK(fault_of(stored("{", "")).starts_with("header: byte 2: syntax error while parsing object key"));
  CHECK(fault_of(stored("{} x", "")).starts_with("header: byte 4: syntax error while parsing value"));
  CHECK(fault_of(stored("{}{}", "")).starts_with("header: byte 3: syntax error while parsing value"));
  CHECK(fault_of(stored("{}", "")) == "no fault");
}

TEST_CASE("faults of the header's members", "[model][safetensors]") {
  const auto of_header = [](const std::string& header) { return fault_of(stored(header, "")); };
  CHECK(of_header(R"({"a":[1]})") == "tensor 'a': is a list; wanted an object with dtype, shape and data_offsets");
  CHECK(of_header(R"({"a":null})") == "tensor 'a': is null; wanted an object with dtype, shape and data_offsets");
  CHECK(of_header(R"({"__metadata__":"x"})") == "__metadata__: is the text 'x'; wanted an object of texts");
  CHECK(of_header(R"({"__metadata__":{"k":1}})") == "metadata 'k': is 1; wanted a text");
  CHECK(of_header(R"({"__metadata__":{"k":{}}})") == "metadata 'k': is an object; wanted a text");
  CHECK(of_header(R"({"__metadata__":{"k":"","k":""}})") == "metadata 'k': is given twice; keep one of them");
  CHECK(of_header(R"({"__metadata__":{},"__metadata__":{}})") == "__metadata__: is given twice; keep one of them");
  const std::string empty = R"("a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  CHECK(of_header("{" + empty + "}") == "no fault");
  CHECK(of_header("{" + empty + "," + empty + "}") == "tensor 'a': is given twice; keep one of them");
}

TEST_CASE("faults of a tensor's entry", "[model][safetensors]") {
  const std::string dtype = R"("dtype":"F32")", shape = R"("shape":[2])", offsets = R"("data_offsets":[0,8])";
  CHECK(entry_fault(dtype + "," + shape + "," + offsets) == "no fault");
  CHECK(entry_fault(shape + "," + offsets) == "tensor 'a': has no dtype; wanted dtype, shape and data_offsets");
  CHECK(entry_fault(dtype + "," + offsets) == "tensor 'a': has no shape; wanted dtype, shape and data_offsets");
  CHECK(entry_fault(dtype + "," + shape) == "tensor 'a': has no data_offsets; wanted dtype, shape and data_offsets");
  CHECK(entry_fault(dtype + "," + shape + "," + dtype) == "tensor 'a': dtype is given twice; keep one of them");
  CHECK(entry_fault(shape + "," + shape) == "tensor 'a': shape is given twice; keep one of them");
  CHECK(entry_fault(offsets + "," + offsets) == "tensor 'a': data_offsets is given twice; keep one of them");
  CHECK(entry_fault(R"("strides":[1])") ==
        "tensor 'a': the key 'strides' is unknown; allowed: dtype, shape, data_offsets");
  CHECK(entry_fault(R"("dtype":32)") == "tensor 'a': dtype is 32; wanted a text such as 'F32'");
  CHECK(entry_fault(R"("dtype":["F32"])") == "tensor 'a': dtype is a list; wanted a text such as 'F32'");
  CHECK(entry_fault(R"("dtype":"f32",)" + shape + "," + offsets)
            .starts_with("tensor 'a': dtype 'f32' is unknown; allowed: BOOL, F4, "));
  CHECK(entry_fault(R"("shape":2)") == "tensor 'a': shape is 2; wanted a list of whole numbers from 0");
  CHECK(entry_fault(R"("shape":[-2])") == "tensor 'a': shape holds -2; wanted a list of whole numbers from 0");
  CHECK(entry_fault(R"("shape":[2.0])") == "tensor 'a': shape holds 2.0; wanted a list of whole numbers from 0");
  CHECK(entry_fault(R"("shape":[1e1])") == "tensor 'a': shape holds 1e1; wanted a list of whole numbers from 0");
  CHECK(entry_fault(R"("shape":[true])") == "tensor 'a': shape holds true; wanted a list of whole numbers from 0");
  CHECK(entry_fault(R"("shape":[[2]])") == "tensor 'a': shape holds a list; wanted a list of whole numbers from 0");
  CHECK(entry_fault(R"("shape":[9223372036854775808])") ==
        "tensor 'a': shape holds 9223372036854775808; wanted a list of whole numbers from 0");
  std::string ones = "1";
  for (int i = 0; i < 64; ++i) ones += ",1";
  CHECK(entry_fault("\"shape\":[" + ones + "]") ==
        "tensor 'a': shape has more than 64 numbers; wanted a list of whole numbers from 0");
  CHECK(entry_fault(R"("data_offsets":[0,"8"])") ==
        "tensor 'a': data_offsets holds the text '8'; wanted [begin, end], whole numbers from 0");
  CHECK(entry_fault(dtype + "," + shape + R"(,"data_offsets":[0,4,8])") ==
        "tensor 'a': data_offsets are [0,4,8]; wanted [begin, end] with begin <= end");
  CHECK(entry_fault(dtype + "," + shape + R"(,"data_offsets":[])") ==
        "tensor 'a': data_offsets are []; wanted [begin, end] with begin <= end");
  CHECK(entry_fault(dtype + "," + shape + R"(,"data_offsets":[8,0])") ==
        "tensor 'a': data_offsets are [8,0]; wanted [begin, end] with begin <= end");
  CHECK(entry_fault(dtype + "," + shape + R"(,"data_offsets":[0,7])") ==
        "tensor 'a': data_offsets [0,7] hold 7 bytes; wanted 8 for shape [2] of F32");
  // 2^31 * 2^31 elements of 4 bytes are 2^64 bytes, which would wrap to 0.
  CHECK(entry_fault(dtype + R"(,"shape":[2147483648,2147483648],"data_offsets":[0,0])") ==
        "tensor 'a': shape [2147483648,2147483648] of F32 is no number of bytes; wanted less than 2^63 bits");
  CHECK(entry_fault(dtype + R"(,"shape":[4294967296,4294967296],"data_offsets":[0,0])") ==
        "tensor 'a': shape [4294967296,4294967296] of F32 is no number of bytes; wanted less than 2^63 bits");
  CHECK(entry_fault(R"("dtype":"F4","shape":[3],"data_offsets":[0,1])") ==
        "tensor 'a': shape [3] of F4 is no number of bytes; wanted whole bytes");
}

TEST_CASE("the data belong to the tensors, byte for byte", "[model][safetensors]") {
  CHECK(entry_fault(R"("dtype":"F32","shape":[3],"data_offsets":[0,12])") ==
        "tensor 'a': data_offsets [0,12] end after the file's 8 bytes of data; is the file complete?");
  CHECK(entry_fault(R"("dtype":"F32","shape":[1],"data_offsets":[0,4])") ==
        "4 bytes after the last tensor; every byte must belong to a tensor");
  CHECK(entry_fault(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])") ==
        "tensor 'a': data_offsets [4,8] leave a hole before it; wanted a start at 0");
  const auto second = [](const std::string& offsets) {
    return fault_of(stored(R"({"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},)"
                           R"("b":{"dtype":"U8","shape":[3],"data_offsets":)" +
                               offsets + "}}",
                           "12345678"));
  };
  CHECK(second("[5,8]") == "no fault");
  CHECK(second("[4,7]") == "tensor 'b': data_offsets [4,7] overlap the tensor before it; wanted a start at 5");
  CHECK(second("[0,3]") == "tensor 'a': data_offsets [0,5] overlap the tensor before it; wanted a start at 3");
  CHECK(fault_of(stored("{}", "x")) == "1 byte after the last tensor; every byte must belong to a tensor");
}

TEST_CASE("hostile text stays on one line and nesting costs nothing", "[model][safetensors]") {
  const auto of_name = [](const std::string& name) { return fault_of(stored("{\"" + name + "\":1}", "")); };
  CHECK(of_name(R"(a\u0000\u001b[2J\n)").starts_with(R"(tensor 'a\x00\x1b[2J\n': is 1;)"));
  CHECK(of_name(std::string(5000, 'x')).size() < 200);
  CHECK(of_name("\xFF\xFE").starts_with("header: byte 3: "));
  CHECK(of_name("\xED\xA0\x80").starts_with("header: byte 4: "));  // a surrogate
  for (const std::string& fault : {of_name("\xFF"), of_name("a\nb"), of_name(std::string(5000, '\x7F') + "\xFF")}) {
    CHECK(fault.starts_with("header: byte"));
    CHECK(fault.size() < 300);
    CHECK(fault.find_first_of("\n\xFF\x7F") == std::string::npos);
  }
  for (const std::string open : {"[", "{\"a\":"}) {
    std::string deep;
    for (int i = 0; i < 200000; ++i) deep += open;
    CHECK(fault_of(stored("{\"a\":{\"shape\":" + deep, "")).starts_with("tensor 'a': shape "));
    CHECK(fault_of(stored("{\"a\":" + deep, "")).starts_with("tensor 'a': "));
    CHECK(fault_of(stored("{\"__metadata__\":{\"k\":" + deep, "")).starts_with("metadata 'k': is "));
  }
}
