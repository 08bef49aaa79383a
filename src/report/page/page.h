// The parts of the HTML report, embedded at configure time: cmake/KvcastPage.cmake, which joins the scripts.
#pragma once

#include <string>

namespace kvcast::report {

struct PageParts {
  /// With @SCRIPTS@, @STYLE@, @CSS@, @DATA@, @CHART@ and @JS@ where the others go, in this order.
  std::string html;
  std::string css, js, chart_js;
  /// Hashes of the elements that hold css, and chart_js and js: the content policy runs nothing else.
  std::string style_hash, script_hashes;
};
const PageParts& page_parts();

}  // namespace kvcast::report
