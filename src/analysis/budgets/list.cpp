// THE list of budgets.
#include "analysis/budgets/budget.h"

namespace kvcast {
namespace analysis {

// Each in the file of its name.
Budget p99_budget(), memory_budget(), qps_budget();

const std::vector<Budget>& budget_list() {
  static const std::vector<Budget> list = {p99_budget(), memory_budget(), qps_budget()};
  return list;
}

bool Budget::meets(const SizingProblem& problem, std::int64_t candidates, bool conservative) const {
  const double stated = *limit(problem);
  if (within != nullptr) return within(problem, stated, candidates, conservative);
  const double value = used(problem, candidates, conservative);
  return info.floor ? value >= stated : value <= stated;
}

}  // namespace analysis

const std::vector<BudgetInfo>& sizing_budgets() {
  static const std::vector<BudgetInfo> list = [] {
    std::vector<BudgetInfo> infos;
    for (const analysis::Budget& budget : analysis::budget_list()) infos.push_back(budget.info);
    return infos;
  }();
  return list;
}

const BudgetInfo* find_budget(const std::string& name) {
  for (const BudgetInfo& budget : sizing_budgets()) {
    if (budget.name == name) return &budget;
  }
  return nullptr;
}

}  // namespace kvcast
