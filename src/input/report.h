// report.json read back, by the columns that it was written by.
#pragma once

#include <string>

#include "kvcast/report.h"

namespace kvcast::input {

/// The text of a report.json; `where` names it in messages. Samples are not in it. Fields that this version does not
/// know are passed over, those it knows and the text lacks are unknown. Errors: ConfigError "where: /pointer: problem;
/// what is allowed" on another schema, a wrong type, or a missing field that cannot be unknown; "where: line, column"
/// on broken JSON.
Report read_report_json(const std::string& text, const std::string& where);

}  // namespace kvcast::input
