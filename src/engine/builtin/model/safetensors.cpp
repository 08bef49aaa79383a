#include "engine/builtin/model/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>

#include "base/checked.h"
#include "base/temporary.h"
#include "base/text.h"
#include "input/text/json.h"
#include "kvcast/error.h"

namespace kvcast {
namespace {

std::string json_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

const char* dtype_of(const StoredTensor& tensor) {
  return tensor.f64 ? "F64" : tensor.element == kernels::Element::bf16 ? "BF16" : "F32";
}

std::uint64_t element_bytes(const StoredTensor& tensor) {
  return tensor.f64 ? sizeof(double) : static_cast<std::uint64_t>(kernels::element_bytes(tensor.element));
}

}  // namespace

void write_safetensors(const std::string& path, const std::vector<std::pair<std::string, std::string>>& metadata,
                       const std::vector<StoredTensor>& tensors) {
  static_assert(std::endian::native == std::endian::little, "the format is little-endian");
  std::string header = "{\"__metadata__\":{";
  for (std::size_t i = 0; i < metadata.size(); ++i) {
    header += (i == 0 ? "" : ",") + json_string(metadata[i].first) + ":" + json_string(metadata[i].second);
  }
  header += "}";
  std::uint64_t offset = 0;
  for (const StoredTensor& tensor : tensors) {
    std::uint64_t elements = 1;
    std::string shape;
    for (const std::int64_t n : tensor.shape) {
      elements *= static_cast<std::uint64_t>(n);
      shape += (shape.empty() ? "" : ",") + std::to_string(n);
    }
    const std::uint64_t end = offset + elements * element_bytes(tensor);
    header += "," + json_string(tensor.name) + ":{\"dtype\":\"" + dtype_of(tensor) + "\",\"shape\":[" + shape +
              "],\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(end) + "]}";
    offset = end;
  }
  header += "}";
  // Data must start at a multiple of 8.
  header.append((8 - header.size() % 8) % 8, ' ');

  const std::string temporary = path + ".tmp";
  const Temporary registered(temporary);
  const auto fail = [&](const char* what) {
    const std::string reason = std::strerror(errno);
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    throw IoError(path, std::string(what) + ": " + reason);
  };
  {
    errno = 0;
    std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
    if (!out) fail("cannot be opened for writing");
    const std::uint64_t size = header.size();
    out.write(reinterpret_cast<const char*>(&size), sizeof size);
    out.write(header.data(), static_cast<std::streamsize>(header.size()));
    const auto put = [&out](const auto& values) {
      out.write(reinterpret_cast<const char*>(values.data()),
                static_cast<std::streamsize>(values.size() * sizeof(values[0])));
    };
    for (const StoredTensor& tensor : tensors) {
      if (tensor.f64) {
        put(tensor.f64());
      } else if (tensor.element == kernels::Element::bf16) {
        const std::vector<float> values = tensor.f32();
        std::vector<kernels::Bf16> rounded(values.size());
        std::transform(values.begin(), values.end(), rounded.begin(), kernels::to_bf16);
        put(rounded);
      } else {
        put(tensor.f32());
      }
      if (!out) fail("cannot be written");
    }
    out.flush();
    if (!out) fail("cannot be written");
  }
  std::error_code error;
  std::filesystem::rename(temporary, path, error);
  if (error) {
    errno = error.value();
    fail("cannot be renamed into place");
  }
}

namespace {

// What the format's own reader allows, so that a hostile header costs little memory.
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
// As in PyTorch. The format sets no limit.
constexpr std::size_t kMaxDimensions = 64;

struct Dtype {
  const char* name;
  std::int64_t bits;
};
constexpr Dtype kDtypes[] = {{"BOOL", 8}, {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
                             {"I8", 8},   {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"I16", 16},
                             {"U16", 16}, {"F16", 16},    {"BF16", 16},   {"I32", 32},    {"U32", 32},
                             {"F32", 32}, {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64}};

std::optional<FloatType> float_type(std::string_view dtype) {
  constexpr std::pair<std::string_view, FloatType> kRead[] = {
      {"F32", FloatType::f32}, {"F64", FloatType::f64}, {"BF16", FloatType::bf16}, {"F16", FloatType::f16}};
  for (const auto& [name, type] : kRead) {
    if (name == dtype) return type;
  }
  return std::nullopt;
}

std::string of_tensor(const std::string& path, const std::string& name) { return path + ": tensor " + in_quotes(name); }

std::string bytes_text(std::int64_t bytes) { return std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes"); }

// Takes the header from nlohmann's events. Anything that is nested where the format has no nesting is refused at once,
// so depth cannot grow.
class HeaderReader {
 public:
  HeaderReader(const std::string& path, std::map<std::string, std::string>& metadata, SafetensorsFile::Tensors& tensors)
      : path_(path), metadata_(metadata), tensors_(tensors) {}

  // The interface that Json::sax_parse calls.
  bool null() { refuse("null"); }
  bool boolean(bool value) { refuse(value ? "true" : "false"); }
  bool number_integer(std::int64_t value) { refuse(std::to_string(value)); }  // negative ones only
  bool number_unsigned(std::uint64_t value) {
    if (place_ != Place::numbers || value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      refuse(std::to_string(value));
    }
    if (list().size() == kMaxDimensions) {
      throw ConfigError(of_tensor(path_, name_), key_ + " has more than " + std::to_string(kMaxDimensions) + " numbers",
                        wanted());
    }
    list().push_back(static_cast<std::int64_t>(value));
    return true;
  }
  bool number_float(double, const std::string& literal) { refuse(printable(literal)); }
  bool string(std::string& value) {
    if (place_ == Place::metadata) {
      metadata_[key_] = std::move(value);
    } else if (place_ == Place::entry && key_ == "dtype") {
      dtype_ = std::move(value);
    } else {
      refuse("the text " + in_quotes(value));
    }
    return true;
  }
  bool binary(Json::binary_t&) { return false; }  // never in text
  bool start_object(std::size_t) {
    if (place_ == Place::start) {
      place_ = Place::root;
    } else if (place_ == Place::root) {
      place_ = name_ == kMetadata ? Place::metadata : Place::entry;
    } else {
      refuse("an object");
    }
    return true;
  }
  bool start_array(std::size_t) {
    if (place_ != Place::entry || key_ == "dtype") refuse("a list");
    (key_ == "shape" ? shape_ : offsets_).emplace();
    place_ = Place::numbers;
    return true;
  }
  bool end_array() {
    place_ = Place::entry;
    return true;
  }
  bool end_object() {
    if (place_ == Place::entry) add_tensor();
    place_ = place_ == Place::root ? Place::start : Place::root;
    return true;
  }
  bool key(std::string& key) {
    if (place_ == Place::root) {
      if (key == kMetadata ? std::exchange(has_metadata_, true) : tensors_.contains(key)) {
        throw ConfigError(key == kMetadata ? path_ + ": " + kMetadata : of_tensor(path_, key), "is given twice",
                          "keep one of them");
      }
      name_ = std::move(key);
      return true;
    }
    key_ = std::move(key);
    if (place_ == Place::metadata) {
      if (metadata_.contains(key_)) throw ConfigError(where(), "is given twice", "keep one of them");
      return true;
    }
    if (key_ != "dtype" && key_ != "shape" && key_ != "data_offsets") {
      throw ConfigError(where(), "the key " + in_quotes(key_) + " is unknown", "allowed: dtype, shape, data_offsets");
    }
    if (key_ == "dtype" ? dtype_.has_value() : key_ == "shape" ? shape_.has_value() : offsets_.has_value()) {
      throw ConfigError(where(), key_ + " is given twice", "keep one of them");
    }
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) {
    throw ConfigError(path_ + ": header", "byte " + std::to_string(position) + ": " + json_problem(error.what()),
                      "the header is JSON");
  }

 private:
  static constexpr const char* kMetadata = "__metadata__";
  // Inside of what the next event is.
  enum class Place { start, root, metadata, entry, numbers };

  std::vector<std::int64_t>& list() { return key_ == "shape" ? *shape_ : *offsets_; }

  std::string where() const {
    if (place_ == Place::start) return path_ + ": header";
    if (place_ == Place::metadata) return path_ + ": metadata " + in_quotes(key_);
    return name_ == kMetadata ? path_ + ": " + kMetadata : of_tensor(path_, name_);
  }

  std::string wanted() const {
    if (place_ == Place::start) return "wanted an object";
    if (place_ == Place::metadata) return "wanted a text";
    if (place_ == Place::root && name_ == kMetadata) return "wanted an object of texts";
    if (place_ == Place::root) return "wanted an object with dtype, shape and data_offsets";
    if (key_ == "dtype") return "wanted a text such as 'F32'";
    return key_ == "shape" ? "wanted a list of whole numbers from 0" : "wanted [begin, end], whole numbers from 0";
  }

  [[noreturn]] void refuse(const std::string& value) const {
    const bool member = place_ == Place::entry || place_ == Place::numbers;
    const char* verb = place_ == Place::numbers ? " holds " : " is ";
    throw ConfigError(where(), member ? key_ + verb + value : "is " + value, wanted());
  }

  void add_tensor() {
    const std::string at = of_tensor(path_, name_);
    for (const auto& [given, key] : {std::pair{dtype_.has_value(), "dtype"}, std::pair{shape_.has_value(), "shape"},
                                     std::pair{offsets_.has_value(), "data_offsets"}}) {
      if (!given) throw ConfigError(at, std::string("has no ") + key, "wanted dtype, shape and data_offsets");
    }
    const auto dtype =
        std::find_if(std::begin(kDtypes), std::end(kDtypes), [&](const Dtype& known) { return *dtype_ == known.name; });
    if (dtype == std::end(kDtypes)) {
      std::vector<std::string> names;
      for (const Dtype& known : kDtypes) names.emplace_back(known.name);
      throw ConfigError(at, "dtype " + in_quotes(*dtype_) + " is unknown", "allowed: " + join(names, ", "));
    }
    if (offsets_->size() != 2 || (*offsets_)[1] < (*offsets_)[0]) {
      throw ConfigError(at, "data_offsets are " + shape_text(*offsets_), "wanted [begin, end] with begin <= end");
    }
    Checked elements = 1;
    for (const std::int64_t n : *shape_) elements = checked_mul(elements, n);
    const Checked bits = checked_mul(elements, dtype->bits);
    if (!bits || *bits % 8 != 0) {
      throw ConfigError(at, "shape " + shape_text(*shape_) + " of " + dtype->name + " is no number of bytes",
                        bits ? "wanted whole bytes" : "wanted less than 2^63 bits");
    }
    const std::int64_t bytes = (*offsets_)[1] - (*offsets_)[0];
    if (bytes != *bits / 8) {
      throw ConfigError(
          at, "data_offsets " + shape_text(*offsets_) + " hold " + bytes_text(bytes),
          "wanted " + std::to_string(*bits / 8) + " for shape " + shape_text(*shape_) + " of " + dtype->name);
    }
    tensors_.emplace(name_, FileTensor{name_, *dtype_, float_type(*dtype_), std::move(*shape_), *elements,
                                       (*offsets_)[0], (*offsets_)[1]});
    dtype_.reset();
    shape_.reset();
    offsets_.reset();
  }

  const std::string& path_;
  std::map<std::string, std::string>& metadata_;
  SafetensorsFile::Tensors& tensors_;
  Place place_ = Place::start;
  std::string name_;  // of the member of the root
  std::string key_;   // of the member of that
  bool has_metadata_ = false;
  std::optional<std::string> dtype_;
  std::optional<std::vector<std::int64_t>> shape_, offsets_;
};

// Every byte of the data must belong to exactly one tensor.
void check_cover(const std::string& path, const SafetensorsFile::Tensors& tensors, std::int64_t data_bytes) {
  std::vector<const FileTensor*> in_order;
  for (const auto& [name, tensor] : tensors) {
    if (tensor.end > data_bytes) {
      throw ConfigError(of_tensor(path, name),
                        "data_offsets " + shape_text({tensor.begin, tensor.end}) + " end after the file's " +
                            bytes_text(data_bytes) + " of data",
                        "is the file complete?");
    }
    in_order.push_back(&tensor);
  }
  std::sort(in_order.begin(), in_order.end(), [](const FileTensor* a, const FileTensor* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  std::int64_t covered = 0;
  for (const FileTensor* tensor : in_order) {
    if (tensor->begin != covered) {
      throw ConfigError(of_tensor(path, tensor->name),
                        "data_offsets " + shape_text({tensor->begin, tensor->end}) +
                            (tensor->begin < covered ? " overlap the tensor before it" : " leave a hole before it"),
                        "wanted a start at " + std::to_string(covered));
    }
    covered = tensor->end;
  }
  if (covered != data_bytes) {
    throw ConfigError(path, bytes_text(data_bytes - covered) + " after the last tensor",
                      "every byte must belong to a tensor");
  }
}

// Source: IEEE 754-2008, binary16. Every half is exact in fp32.
float from_half(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1Fu;
  const std::uint32_t fraction = half & 0x3FFu;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign == 0 ? magnitude : -magnitude;
  }
  // Exponents 31 (inf, NaN) go to 255; the rest change their bias from 15 to 127.
  return std::bit_cast<float>(sign | (exponent == 31 ? 0xFFu : exponent + 112) << 23 | fraction << 13);
}

// What fp32 cannot hold becomes inf, by IEC 60559.
float from_double(double value) {
  static_assert(std::numeric_limits<float>::is_iec559);
  return static_cast<float>(value);
}

template <typename Stored, typename Convert>
void convert(const std::byte* bytes, std::span<float> values, Convert to_float) {
  for (float& value : values) {
    Stored stored;
    std::memcpy(&stored, bytes, sizeof stored);  // the format does not align tensors
    value = to_float(stored);
    bytes += sizeof stored;
  }
}

}  // namespace

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) out += (i == 0 ? "" : ",") + std::to_string(shape[i]);
  return out + "]";
}

SafetensorsFile::Mapping::Mapping(const std::string& path) {
  // Opening a pipe that nobody writes to would wait for ever.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) throw IoError(path, std::string("cannot be opened: ") + std::strerror(errno));
  const auto fail = [&](const std::string& problem) {
    ::close(descriptor_);
    throw IoError(path, problem);
  };
  struct stat status = {};
  if (::fstat(descriptor_, &status) != 0) fail(std::string("cannot be read: ") + std::strerror(errno));
  if (!S_ISREG(status.st_mode)) fail("is not a regular file");
  bytes_ = status.st_size;
  if (bytes_ == 0) return;  // cannot be mapped
  void* map = ::mmap(nullptr, static_cast<std::size_t>(bytes_), PROT_READ, MAP_PRIVATE, descriptor_, 0);
  if (map == MAP_FAILED) fail(std::string("cannot be mapped: ") + std::strerror(errno));
  data_ = static_cast<const std::byte*>(map);
}

SafetensorsFile::Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), static_cast<std::size_t>(bytes_));
  ::close(descriptor_);
}

bool SafetensorsFile::Mapping::is_whole() const {
  struct stat status = {};
  return ::fstat(descriptor_, &status) == 0 && status.st_size >= bytes_;
}

SafetensorsFile::SafetensorsFile(std::string path) : path_(std::move(path)), map_(path_) {
  std::uint64_t header_bytes = 0;
  constexpr std::int64_t kPrefix = sizeof header_bytes;
  if (map_.bytes() < kPrefix) {
    throw ConfigError(path_, "is only " + bytes_text(map_.bytes()) + " long",
                      "a safetensors file starts with the length of its header in 8 bytes");
  }
  std::memcpy(&header_bytes, map_.data(), sizeof header_bytes);
  if (header_bytes > kMaxHeaderBytes) {
    throw ConfigError(path_, "a header of " + std::to_string(header_bytes) + " bytes is not that of a safetensors file",
                      "at most " + std::to_string(kMaxHeaderBytes) + " are allowed");
  }
  data_begin_ = kPrefix + static_cast<std::int64_t>(header_bytes);
  if (data_begin_ > map_.bytes()) {
    throw ConfigError(path_,
                      "the header has " + std::to_string(header_bytes) + " bytes, of which the file holds " +
                          std::to_string(map_.bytes() - kPrefix),
                      "is the file complete?");
  }
  const std::string_view header(reinterpret_cast<const char*>(map_.data()) + kPrefix,
                                static_cast<std::size_t>(header_bytes));
  if (!header.starts_with('{')) throw ConfigError(path_ + ": header", "does not start with '{'", "the header is JSON");
  // To nlohmann a NUL ends the text, and whatever follows would go unread.
  if (header.find('\0') != std::string_view::npos) {
    throw ConfigError(path_ + ": header", "holds a NUL byte", "the header is JSON");
  }
  HeaderReader reader(path_, metadata_, tensors_);
  Json::sax_parse(header.begin(), header.end(), &reader);
  check_cover(path_, tensors_, map_.bytes() - data_begin_);
}

const FileTensor* SafetensorsFile::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

void SafetensorsFile::read(const FileTensor& tensor, std::int64_t first, std::span<float> values) const {
  assert(tensor.numbers && first >= 0 && first + static_cast<std::int64_t>(values.size()) <= tensor.elements);
  // Touching pages behind the file's end would end the process.
  if (!map_.is_whole()) throw IoError(path_, "has become shorter since it was opened");
  if (values.empty()) return;
  const std::byte* data = map_.data() + data_begin_ + tensor.begin;
  switch (*tensor.numbers) {
    case FloatType::f32:
      std::memcpy(values.data(), data + first * 4, values.size_bytes());
      break;
    case FloatType::f64:
      convert<double>(data + first * 8, values, from_double);
      break;
    case FloatType::bf16:
      convert<kernels::Bf16>(data + first * 2, values, kernels::from_bf16);
      break;
    case FloatType::f16:
      convert<std::uint16_t>(data + first * 2, values, from_half);
      break;
  }
}

}  // namespace kvcast
