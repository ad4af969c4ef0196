#include <cmath>
#include <limits>
#include <type_traits>

#include "harness/compare.h"

namespace faultline::harness {
namespace {

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

template <class T>
Json write(const T& value);
template <class T>
T read(const Json& json);

struct Writer {
  Json json = Json::object();
  template <class T>
  void operator()(const char* key, const T& value) {
    json[key] = write(value);
  }
};

struct Reader {
  const Json& json;
  template <class T>
  void operator()(const char* key, T& value) {
    value = read<T>(json.at(key));
  }
};

// The fields of each record, named once for both directions.
template <class Io, class U>
requires std::is_same_v<std::remove_const_t<U>, UnitResult>
void fields(Io& io, U& u) {
  io("unit", u.unit), io("value", u.value), io("bits", u.bits), io("order", u.order);
}

template <class Io, class S>
requires std::is_same_v<std::remove_const_t<S>, DotStep>
void fields(Io& io, S& s) {
  io("first", s.first), io("exponent", s.exponent), io("quantum", s.quantum), io("special", s.special);
  io("accumulator", s.accumulator), io("accumulator_kept", s.accumulator_kept), io("products", s.products);
  io("kept", s.kept), io("sum", s.sum), io("result", s.result);
}

template <class Io, class W>
requires std::is_same_v<std::remove_const_t<W>, UnitWindow>
void fields(Io& io, W& w) { io("unit", w.unit), io("steps", w.steps), io("result", w.result); }

template <class Io, class D>
requires std::is_same_v<std::remove_const_t<D>, DotDetail>
void fields(Io& io, D& d) {
  io("k", d.k), io("format", d.format), io("accumulator", d.accumulator), io("units", d.units);
  io("exact", d.exact), io("window_first", d.window_first), io("window_start", d.window_start);
  io("window", d.window);
}

template <class Io, class D>
requires std::is_same_v<std::remove_const_t<D>, Difference>
void fields(Io& io, D& d) {
  io("step", d.step), io("is_leaf", d.is_leaf), io("place", d.place), io("op", d.op), io("phase", d.phase);
  io("shape", d.shape), io("format", d.format), io("inputs_equal", d.inputs_equal), io("index", d.index);
  io("a", d.a), io("b", d.b), io("bits_a", d.bits_a), io("bits_b", d.bits_b), io("ulp", d.ulp);
  io("differing", d.differing), io("elements", d.elements), io("largest_ulp", d.largest_ulp);
  io("largest", d.largest), io("exact", d.exact), io("nearer", d.nearer), io("dot", d.dot);
}

template <class Io, class S>
requires std::is_same_v<std::remove_const_t<S>, ScheduleParting>
void fields(Io& io, S& s) {
  io("step", s.step), io("scale_a", s.scale_a), io("scale_b", s.scale_b), io("gradient", s.gradient);
  io("element", s.element), io("skipped_a", s.skipped_a), io("skipped_b", s.skipped_b);
}

template <class Io, class M>
requires std::is_same_v<std::remove_const_t<M>, ManifestDifference>
void fields(Io& io, M& m) { io("path", m.path), io("a", m.a), io("b", m.b); }

template <class Io, class V>
requires std::is_same_v<std::remove_const_t<V>, Verdict>
void fields(Io& io, V& v) {
  io("bitwise", v.bitwise), io("first", v.first), io("schedule", v.schedule);
  io("equal_again_from", v.equal_again_from), io("manifests", v.manifests);
  io("steps_a", v.steps_a), io("steps_b", v.steps_b), io("first_differing_step", v.first_differing_step);
  io("unreplayed", v.unreplayed), io("final_loss_a", v.final_loss_a), io("final_loss_b", v.final_loss_b);
  io("accuracy_a", v.accuracy_a), io("accuracy_b", v.accuracy_b);
  io("largest_weight_difference", v.largest_weight_difference), io("cause", v.cause);
  io("sentence", v.sentence);
}

// JSON has no words for values that are not finite: they are texts.
Json write_real(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

double read_real(const Json& json) {
  if (json.is_number()) return json.get<double>();
  const double infinity = std::numeric_limits<double>::infinity();
  return json == "inf" ? infinity : json == "-inf" ? -infinity : std::numeric_limits<double>::quiet_NaN();
}

template <class T>
Json write(const T& value) {
  if constexpr (std::is_same_v<T, double>) {
    return write_real(value);
  } else if constexpr (IsOptional<T>::value) {
    return value ? write(*value) : Json();
  } else if constexpr (IsVector<T>::value) {
    Json list = Json::array();
    for (const auto& item : value) list.push_back(write(item));
    return list;
  } else if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, std::string>) {
    return value;
  } else {
    Writer writer;
    fields(writer, value);
    return writer.json;
  }
}

template <class T>
T read(const Json& json) {
  if constexpr (std::is_same_v<T, double>) {
    return read_real(json);
  } else if constexpr (IsOptional<T>::value) {
    return json.is_null() ? T() : T(read<typename T::value_type>(json));
  } else if constexpr (IsVector<T>::value) {
    T list;
    for (const Json& item : json) list.push_back(read<typename T::value_type>(item));
    return list;
  } else if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, std::string>) {
    return json.get<T>();
  } else {
    T value;
    Reader reader{json};
    fields(reader, value);
    return value;
  }
}

}  // namespace

Json to_json(const Verdict& verdict) { return write(verdict); }
Verdict verdict_from_json(const Json& json) { return read<Verdict>(json); }

}  // namespace faultline::harness
