// Sections of a document as rows of a sheet, and its curves as charts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/document.h"
#include "report/render/xlsx_book.h"

namespace kvcast::report {

/// Makes the columns as wide as the tables of these sections need; the last column that text may go on to.
std::uint16_t widen_for(Sheet& sheet, const std::vector<Section>& sections);

/// From `row` on; returns the row after a blank one. Charts stand below what is before them or, beside, behind column
/// `last`. What is printed ends there.
std::uint32_t write_sections(Book& book, Sheet& sheet, std::uint32_t row, std::uint16_t last,
                             const std::vector<Section>& sections, bool beside = false);

}  // namespace kvcast::report
