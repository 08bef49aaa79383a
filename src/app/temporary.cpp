#include "kvcast/temporary.h"

#include "base/temporary.h"

namespace kvcast {

std::shared_ptr<const void> temporary_folder(const std::string& path) { return std::make_shared<Temporary>(path); }

void remove_temporaries() noexcept { Temporary::remove_all(); }

}  // namespace kvcast
