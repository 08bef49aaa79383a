# Debian's libxlsxwriter brings no CMake package. Sets Libxlsxwriter_VERSION; target Libxlsxwriter::Libxlsxwriter.
find_path(Libxlsxwriter_INCLUDE_DIR xlsxwriter.h)
find_library(Libxlsxwriter_LIBRARY xlsxwriter)
if(Libxlsxwriter_INCLUDE_DIR)
  file(STRINGS "${Libxlsxwriter_INCLUDE_DIR}/xlsxwriter.h" Libxlsxwriter_line REGEX "#define LXW_VERSION \"")
  string(REGEX MATCH "[0-9.]+" Libxlsxwriter_VERSION "${Libxlsxwriter_line}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Libxlsxwriter
  REQUIRED_VARS Libxlsxwriter_LIBRARY Libxlsxwriter_INCLUDE_DIR
  VERSION_VAR Libxlsxwriter_VERSION
  REASON_FAILURE_MESSAGE "install libxlsxwriter-dev (Debian), or run ./dev setup")

if(Libxlsxwriter_FOUND AND NOT TARGET Libxlsxwriter::Libxlsxwriter)
  add_library(Libxlsxwriter::Libxlsxwriter UNKNOWN IMPORTED)
  set_target_properties(Libxlsxwriter::Libxlsxwriter PROPERTIES
    IMPORTED_LOCATION "${Libxlsxwriter_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${Libxlsxwriter_INCLUDE_DIR}")
endif()
mark_as_advanced(Libxlsxwriter_INCLUDE_DIR Libxlsxwriter_LIBRARY)
