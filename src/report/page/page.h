// The parts of the HTML report, embedded at configure time: cmake/KvcastPage.cmake.
#pragma once

#include <string>

namespace kvcast::report {

struct PageParts {
  std::string html;  ///< with @CSS@, @DATA@, @CHART@ and @JS@ where the others go, in this order
  std::string css, js, chart_js;
};
const PageParts& page_parts();

}  // namespace kvcast::report
