#include "journal/measurements.h"
#include "kvcast/kvcast.h"

namespace kvcast {

Report load_report(const std::string& path) { return journal::read_report(path); }

}  // namespace kvcast
