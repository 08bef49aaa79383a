#include "engine/builtin/kernels/element.h"

#include "catch.h"

using namespace kvcast::kernels;

TEST_CASE("a storage type is found by its name, and by no other", "[kernels]") {
  CHECK(element_of("fp32") == Element::f32);
  CHECK(element_of("bf16") == Element::bf16);
  for (const char* name : {"", "fp16", "BF16", "auto", "fp32 "}) CHECK_FALSE(element_of(name));
}
