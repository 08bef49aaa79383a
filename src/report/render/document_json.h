// A document as JSON: what the page shows.
#pragma once

#include "input/text/json.h"
#include "report/document.h"

namespace kvcast::report {

/// {"answer", "answer_level", "sections": [{"title", "details", "blocks": [...]}]}; a block is an object with one
/// member, "table", "text", "notice" or "chart". A cell is {"text", "value"?, "unit"?, "emphasis"?}; an interval is a
/// list of two. All text is valid UTF-8; emphasis is by name, and left out where there is none.
Json document_json(const Document& document);

}  // namespace kvcast::report
