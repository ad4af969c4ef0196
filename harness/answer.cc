#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "engine/base/text.h"
#include "harness/sweep_result.h"

namespace faultline::harness {
namespace {

// "a", "a and b", "a, b and c".
std::string enumerate(const std::vector<std::string>& words) {
  if (words.size() < 2) return join(words, "");
  return join({words.begin(), words.end() - 1}, ", ") + " and " + words.back();
}

// The first cell to part other than where the perturbation planted it; null if none.
const Cell* first_to_part(const SweepResult& result) {
  const Cell* first = nullptr;
  for (const Cell& cell : result.cells) {
    if (!parted(cell) || !cell.verdict.first || cell.verdict.first->is_leaf) continue;
    if (first == nullptr || cell.verdict.first->step < first->verdict.first->step) first = &cell;
  }
  return first;
}

std::string first_parting_text(const Cell& cell) {
  const Difference& d = *cell.verdict.first;
  std::string text = fmt::format("{} parts first, under {}: step {}, {}, {} ulp", cell.recipe,
                                 cell.perturbation, d.step, d.place, d.ulp);
  if (cell.verdict.schedule) {
    text += fmt::format("; its loss scale follows at step {}", cell.verdict.schedule->step);
  }
  return text + ".";
}

// Which recipes part under a perturbation, by any of its variants and seeds.
struct Column {
  std::string perturbation;
  std::vector<std::string> judged, parted;

  bool none() const { return parted.empty(); }
  bool every() const { return parted.size() == judged.size(); }
};

std::vector<Column> columns(const SweepResult& result) {
  std::vector<Column> columns;
  for (const std::string& perturbation : result.perturbations) {
    Column column{perturbation, {}, {}};
    for (const Recipe& recipe : result.recipes) {
      bool judged = false, parts = false;
      for (const Cell& cell : result.cells) {
        if (cell.recipe != recipe.name() || !is_under(cell, perturbation)) continue;
        judged |= cell.failure.empty();
        parts |= parted(cell);
      }
      if (judged) column.judged.push_back(recipe.name());
      if (parts) column.parted.push_back(recipe.name());
    }
    if (!column.judged.empty()) columns.push_back(column);
  }
  return columns;
}

std::vector<std::string> names_where(const std::vector<Column>& columns,
                                     const std::function<bool(const Column&)>& condition) {
  std::vector<std::string> names;
  for (const Column& column : columns) {
    if (condition(column)) names.push_back(column.perturbation);
  }
  return names;
}

// What a column says that does not judge every recipe, or on which they are not of one mind.
std::string column_text(const Column& column) {
  const bool one = column.judged.size() == 1;
  if (column.none()) {
    return fmt::format("Under {} {} {} bitwise equal.", column.perturbation, enumerate(column.judged),
                       one ? "is" : "are");
  }
  if (column.every()) {
    return fmt::format("Under {} {} {}.", column.perturbation, enumerate(column.parted),
                       one ? "parts" : "part");
  }
  return fmt::format("Under {} {} of {} recipes part ({}).", column.perturbation, column.parted.size(),
                     column.judged.size(), enumerate(column.parted));
}

// "f32 is", "Both recipes are", "Of 6 recipes, all are".
std::string all_recipes(const SweepResult& result) {
  if (result.recipes.size() == 1) return result.recipes[0].name() + " is";
  if (result.recipes.size() == 2) return "Both recipes are";
  return fmt::format("Of {} recipes, all are", result.recipes.size());
}

}  // namespace

std::string answer(const SweepResult& result) {
  const std::vector<Column> all = columns(result);
  if (all.empty()) return "No cell has a verdict.";
  const size_t recipes = result.recipes.size();
  const auto none = [&](const Column& c) { return c.none() && c.judged.size() == recipes; };
  const auto every = [&](const Column& c) { return c.every() && c.judged.size() == recipes; };
  std::vector<std::string> sentences;
  if (const auto names = names_where(all, none); !names.empty()) {
    sentences.push_back(fmt::format("{} bitwise equal under {}.", all_recipes(result), enumerate(names)));
  }
  for (const Column& column : all) {
    if (!none(column) && !every(column)) sentences.push_back(column_text(column));
  }
  if (const auto names = names_where(all, every); !names.empty()) {
    const std::string who = result.recipes.size() == 1 ? result.recipes[0].name() : "every recipe";
    sentences.push_back(fmt::format("Under {} {} parts.", enumerate(names), who));
  }
  if (const Cell* first = first_to_part(result)) sentences.push_back(first_parting_text(*first));
  const auto failed = std::count_if(result.cells.begin(), result.cells.end(),
                                    [](const Cell& cell) { return !cell.failure.empty(); });
  if (failed > 0) {
    sentences.push_back(fmt::format("{} of {} cells have no verdict.", failed, result.cells.size()));
  }
  return join(sentences, " ");
}

}  // namespace faultline::harness
