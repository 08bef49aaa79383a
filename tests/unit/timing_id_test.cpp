#include "kvcast/timing_id.h"

#include <set>
#include <string>

#include "catch.h"

using kvcast::TimingId;

TEST_CASE("what a timing timed has one text, which is read back as it was", "[timing]") {
  struct Known {
    const char* text;
    TimingId id;
  };
  const Known all[] = {{"shared", {"shared", false, false}},
                       {"packed-10", {"packed-10", false, false}},
                       {"shared+head", {"shared", true, false}},
                       {"naive/again", {"naive", false, true}},
                       {"naive/again+head", {"naive", true, true}},
                       {"head", TimingId::head()},
                       {"header", {"header", false, false}},
                       {"ahead", {"ahead", false, false}},
                       {"t_full/again/again", {"t_full/again", false, true}}};
  std::set<TimingId> distinct;
  for (const Known& known : all) {
    CAPTURE(known.text);
    CHECK(known.id.text() == known.text);
    CHECK(TimingId(known.text) == known.id);
    CHECK(distinct.insert(known.id).second);
    CHECK(known.id.plain() == (!known.id.with_head && !known.id.again));
  }
  CHECK(TimingId::head().head_alone());
  CHECK_FALSE(TimingId("shared+head").head_alone());
  CHECK(TimingId("head").with_head);
  // Nothing at all is no head.
  CHECK(TimingId().text().empty());
  CHECK(TimingId("") == TimingId());
  CHECK_FALSE(TimingId().head_alone());
}
