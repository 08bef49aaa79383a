// What a proof of equality says.
#pragma once

#include "kvcast/kvcast.h"
#include "report/document.h"

namespace kvcast::report {

Document verify_document(const VerifyResult& result);

}  // namespace kvcast::report
