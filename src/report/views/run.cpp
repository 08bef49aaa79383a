#include "report/views/run.h"

#include "report/conclusion.h"
#include "report/views/sizing.h"
#include "report/views/traffic.h"

namespace kvcast::report {

Document run_document(const Report& report) { return {conclusion(report)}; }

Document report_document(const Report& report) {
  Document document = run_document(report);
  for (const Document& other :
       {report.sizing ? sizing_document(report) : Document{}, report.traffic ? traffic_document(report) : Document{}}) {
    if (document.answer.empty()) {
      document.answer = other.answer;
      document.answer_level = other.answer_level;
    }
    for (const Section& section : other.sections) document.sections.push_back(section);
  }
  return document;
}

}  // namespace kvcast::report
