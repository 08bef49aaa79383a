// Reports and samples read back from what report/ writes, by the same columns.
#pragma once

#include <string>

#include "kvcast/columns.h"
#include "kvcast/report.h"

namespace kvcast::report {

/// The text of a file, or of standard input for "-"; uncompressed and in UTF-8 where it is kept otherwise
/// (base/text_decoder.h). Errors: IoError when it cannot be read or is larger than 1 GiB, ConfigError when a line is
/// longer than 128 MiB, both before more of it is in memory; ConfigError when it is no text that can be decoded.
std::string read_file(const std::string& path);

/// The text of a report.json; `where` names it in messages. Samples are not in it. Fields that this version does not
/// know are passed over, those it knows and the text lacks are unknown. Errors: ConfigError "where: /pointer: problem;
/// what is allowed" on another schema, a wrong type, or a missing field that cannot be unknown; "where: line, column"
/// on broken JSON.
Report read_report_json(const std::string& text, const std::string& where);

/// The text of a CSV of timings: of a samples.csv, a case per shape in the order in which they come; or of a file of
/// your own with the columns candidates, naive_seconds and shared_seconds, or those of `columns`, one case without
/// shape, every row a round. Times may be in other units, which their columns' names say. Its head tells which. Other
/// columns are passed over, which a warning `ignored-columns` says; a warning `read-as` says what is not as in RFC
/// 4180. Errors: ConfigError with line, column, value and what is allowed.
Report read_csv(const std::string& text, const std::string& where, const ColumnNames& columns = {});

}  // namespace kvcast::report
