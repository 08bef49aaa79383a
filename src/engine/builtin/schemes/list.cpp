// THE list of schemes, and nothing else: tests put a list of broken ones in its place (tests/faulty).
#include "engine/builtin/schemes/scheme.h"

namespace kvcast {

// Each in the file of its name; cached and append in returning.cpp.
SchemeEntry naive_scheme();
SchemeEntry shared_scheme();
SchemeEntry shared_copy_scheme();
SchemeEntry packed_scheme();
SchemeEntry cached_scheme();
SchemeEntry append_scheme();

const std::vector<SchemeEntry>& scheme_list() {
  static const std::vector<SchemeEntry> list = {naive_scheme(),  shared_scheme(), shared_copy_scheme(),
                                                packed_scheme(), cached_scheme(), append_scheme()};
  return list;
}

}  // namespace kvcast
