// Timings and reports read back from whatever keeps them.
#pragma once

#include <string>

#include "kvcast/columns.h"
#include "kvcast/report.h"

namespace kvcast::input {

/// Reads measurements, with samples in every case that has some. `path`:
/// - a folder: its report.json with the samples.csv beside it; else its journal.jsonl; else its samples.csv.
/// - `*.json`: a report. Without a samples.csv beside it the medians of its points are taken for samples, one each of
///   round 0, with the warning `no-samples`.
/// - `*.jsonl`: a journal, with the warning `unfinished-run`. Its cases have shape and samples only.
/// - `*.csv`: see read_csv.
/// - any other name, and `-` for standard input: a journal when its first line is the head of one, a report when it
///   begins with `{`, else a CSV.
/// Errors: IoError when something cannot be read; ConfigError, naming file and place, when it is not what it should be
/// or has no timings.
/// `columns`: of a CSV of your own; refused for anything else.
Report read_measurements(const std::string& path, const ColumnNames& columns = {});

}  // namespace kvcast::input
