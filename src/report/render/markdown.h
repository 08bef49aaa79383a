// A document as Markdown, for a pull request or a review.
#pragma once

#include <string>

#include "report/document.h"

namespace kvcast::report {

/// `title` as the heading, the answer, every notice, then every section with its tables. No text from outside is
/// markup.
std::string render_markdown(const Document& document, const std::string& title);

}  // namespace kvcast::report
