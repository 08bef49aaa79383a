// How a line of a column table is made: describe() takes name, unit, doc and a member (or a function of the row), and
// derives kind, nullability, getter and setter from its type.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "kvcast/report.h"
#include "report/columns.h"

namespace kvcast::report {

template <typename T>
struct Unwrapped {
  using type = T;
  static constexpr bool optional = false;
};
template <typename T>
struct Unwrapped<std::optional<T>> {
  using type = T;
  static constexpr bool optional = true;
};

template <typename T>
constexpr Kind kind_of() {
  if constexpr (std::is_same_v<T, bool>) return Kind::boolean;
  if constexpr (std::is_same_v<T, std::int64_t>) return Kind::integer;
  if constexpr (std::is_same_v<T, double>) return Kind::number;
  if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, TimingId>) return Kind::text;
  if constexpr (std::is_same_v<T, std::vector<std::string>>) return Kind::texts;
  if constexpr (std::is_same_v<T, std::vector<double>>) return Kind::numbers;
  if constexpr (Named<T>) return Kind::name;
  if constexpr (std::is_same_v<T, Interval>) return Kind::interval;
  if constexpr (std::is_same_v<T, Estimate>) return Kind::estimate;
  if constexpr (std::is_same_v<T, SecondsSummary>) return Kind::seconds;
  if constexpr (std::is_same_v<T, ErrorPair>) return Kind::errors;
}

template <typename T>
Value to_value(const T& value) {
  if constexpr (Named<T>) {
    const std::string name = to_string(value);
    return name.empty() ? Value{} : Value{name};
  } else if constexpr (std::is_same_v<T, TimingId>) {
    return value.text();
  } else {
    return value;
  }
}
template <typename T>
Value to_value(const std::optional<T>& value) {
  return value ? to_value(*value) : Value{};
}

/// `value` must hold the type of the member's kind, of a closed set one of its names, or be unknown where the column is
/// nullable. An unknown number is NaN, never 0.
template <typename T>
void from_value(const Value& value, T& member) {
  if constexpr (Unwrapped<T>::optional) {
    if (std::holds_alternative<std::monostate>(value)) {
      member.reset();
    } else {
      from_value(value, member.emplace());
    }
  } else if constexpr (Named<T>) {
    const auto* name = std::get_if<std::string>(&value);
    member = named<T>(name != nullptr ? *name : "").value_or(T{});
  } else if constexpr (std::is_same_v<T, TimingId>) {
    member = TimingId(std::get<std::string>(value));
  } else if constexpr (std::is_same_v<T, double>) {
    const double* number = std::get_if<double>(&value);
    member = number != nullptr ? *number : std::numeric_limits<double>::quiet_NaN();
  } else {
    member = std::get<T>(value);
  }
}

/// A text member whose empty value means unknown.
template <typename Row>
struct Known {
  std::string Row::*member;
  std::optional<std::string> operator()(const Row& row) const {
    return (row.*member).empty() ? std::nullopt : std::optional(row.*member);
  }
  void set(Row& row, const Value& value) const {
    const auto* text = std::get_if<std::string>(&value);
    row.*member = text != nullptr ? *text : "";
  }
};
template <typename Row>
Known<Row> known(std::string Row::*member) {
  return {member};
}

/// A count of which 0 means that there is none.
template <typename Row, typename Base>
struct UnlessZero {
  std::int64_t Base::*member;
  std::optional<std::int64_t> operator()(const Row& row) const {
    return row.*member == 0 ? std::nullopt : std::optional(row.*member);
  }
  void set(Row& row, const Value& value) const {
    const auto* count = std::get_if<std::int64_t>(&value);
    row.*member = count != nullptr ? *count : 0;
  }
};
template <typename Row, typename Base>
UnlessZero<Row, Base> unless_zero(std::int64_t Base::*member) {
  return {member};
}

/// get: a member of Row, known(member), unless_zero(member), or a function of it; its type gives the kind, and
/// std::optional means "may be unknown". What a function gives is derived, so it is not read back.
template <typename Row, typename Get>
Column<Row> describe(const char* name, const char* unit, const char* doc, Get get, Role role = Role::field) {
  using Result = std::remove_cvref_t<std::invoke_result_t<Get, const Row&>>;
  using Type = typename Unwrapped<Result>::type;
  const Kind kind = kind_of<Type>();
  bool nullable = Unwrapped<Result>::optional || kind == Kind::number;
  std::vector<std::string> names;
  if constexpr (Named<Type>) {
    names = names_of<Type>();
    nullable = std::erase(names, "") > 0 || nullable;  // a value without a name is unknown
  }
  std::function<void(Row&, const Value&)> set;
  if constexpr (std::is_member_object_pointer_v<Get>) {
    set = [get](Row& row, const Value& value) { from_value(value, row.*get); };
  } else if constexpr (requires(Row & row, const Value& value) { get.set(row, value); }) {
    set = [get](Row& row, const Value& value) { get.set(row, value); };
  }
  return {name,
          unit,
          doc,
          kind,
          std::move(names),
          nullable,
          role,
          [get](const Row& row) { return to_value(std::invoke(get, row)); },
          set};
}

}  // namespace kvcast::report
