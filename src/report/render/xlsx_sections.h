// Sections of a document as rows of a sheet, and its curves as charts.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "report/document.h"
#include "report/render/xlsx_book.h"

namespace kvcast::report {

/// Makes the columns as wide as the tables of these sections need; the last of them, and of `room` characters.
std::uint16_t widen_for(Sheet& sheet, const std::vector<Section>& sections, std::size_t room = 130);

/// Columns that a chart stands over, of the usual width, and one before it.
inline constexpr std::uint16_t kChartColumns = 9;

/// From row 2 on, and what is printed. Text goes over the columns up to `last`. Charts stand below what is before them
/// or, beside, behind column `beside` from the first table on.
void write_sections(Book& book, Sheet& sheet, std::uint16_t last, const std::vector<Section>& sections,
                    std::optional<std::uint16_t> beside = {});

}  // namespace kvcast::report
