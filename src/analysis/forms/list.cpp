#include <limits>

#include "analysis/forms/form.h"
#include "kvcast/report.h"

namespace kvcast {
namespace analysis {

const std::vector<CostForm>& cost_forms() {
  static const std::vector<CostForm> forms = {law_form(), affine_form()};
  return forms;
}

const CostForm* find_form(const std::string& name) {
  for (const CostForm& form : cost_forms()) {
    if (form.name == name) return &form;
  }
  return nullptr;
}

Constants constants_of(const CostForm& form, const FittedModel& model) {
  const double naive_s = model.parameter(kNaiveSymbol).value_or(1);
  Constants constants;
  for (const FormParameter& parameter : form.parameters) {
    const double value = model.parameter(parameter.symbol).value_or(std::numeric_limits<double>::quiet_NaN());
    constants.push_back(parameter.seconds ? value / naive_s : value);
  }
  return constants;
}

}  // namespace analysis

FittedModel unfitted_model(const std::string& name) {
  FittedModel model;
  if (const analysis::CostForm* form = analysis::find_form(name)) {
    model.name = form->name;
    model.formula = form->formula;
    model.limit = form->limit;
    model.for_90 = form->for_90;
    constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
    bool seconds = false;
    for (const analysis::FormParameter& one : form->parameters) {
      model.parameters.push_back({one.name, one.symbol, one.unit, kUnknown});
      seconds = seconds || one.seconds;
    }
    if (seconds) model.parameters.push_back({"naive_candidate_s", analysis::kNaiveSymbol, "s", kUnknown});
  }
  return model;
}

double modelled_speedup(const FittedModel& model, double candidates) {
  const analysis::CostForm* form = analysis::find_form(model.name);
  if (form == nullptr) return std::numeric_limits<double>::quiet_NaN();
  return form->speedup(analysis::constants_of(*form, model), candidates);
}

std::optional<double> FittedModel::parameter(const std::string& symbol) const {
  for (const FittedParameter& one : parameters) {
    if (one.symbol == symbol) return one.value;
  }
  return std::nullopt;
}

const FittedModel* Fit::model(const std::string& name) const {
  for (const FittedModel& one : models) {
    if (one.name == name) return &one;
  }
  return nullptr;
}

const FittedModel* Fit::in_use() const {
  if (preferred == kUntested) return models.empty() ? nullptr : &models.front();
  return model(preferred);
}

}  // namespace kvcast
