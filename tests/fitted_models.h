// Models as a fit would hold them, with given parameters.
#pragma once

#include "kvcast/report.h"

namespace kvcast::testing {

inline FittedModel law_model(double r) {
  FittedModel model = unfitted_model("one-parameter");
  model.parameters = {{"r", "r", "ratio", r}};
  return model;
}

/// a + b N against c N, in seconds.
inline FittedModel affine_model(double a, double b, double c) {
  FittedModel model = unfitted_model("affine");
  model.parameters = {{"prefill_s", "a", "s", a}, {"candidate_s", "b", "s", b}, {"naive_candidate_s", "c", "s", c}};
  return model;
}

}  // namespace kvcast::testing
