#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "engine/base/text.h"
#include "harness/perturbation.h"
#include "harness/sweep_result.h"

namespace faultline::harness {
namespace {

struct Style {
  const char *mark, *colour, *word;
};

Style style(Standing standing) {
  switch (standing) {
    case Standing::kBitwise:
      return {"✓", "32", "bitwise"};
    case Standing::kParts:
      return {"~", "33", "parts"};
    case Standing::kBreaks:
      return {"✗", "31", "breaks"};
    case Standing::kFailed:
      break;
  }
  return {"!", "35", "failed"};
}

size_t width(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string padded(const std::string& text, size_t columns) {
  return text + std::string(columns - std::min(columns, width(text)), ' ');
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string result = "\"";
  for (const char c : text) result += c == '"' ? "\"\"" : std::string(1, c);
  return result + "\"";
}

std::string csv_row(const Cell& cell) {
  const Verdict& v = cell.verdict;
  std::vector<std::string> fields = {cell.recipe, cell.perturbation, std::to_string(cell.seed),
                                     style(standing(cell)).word};
  if (v.first) {
    const Difference& d = *v.first;
    fields.insert(fields.end(), {std::to_string(d.step), d.place,
                                 fmt::format("[{}]", fmt::join(d.index, ", ")), std::to_string(d.ulp)});
  } else {
    fields.insert(fields.end(), {parted(cell) ? std::to_string(v.first_differing_step) : "", "", "", ""});
  }
  fields.push_back(cell.failure.empty() ? v.cause : cell.failure);
  const bool judged = cell.failure.empty();
  for (const double value : {v.final_loss_a, v.final_loss_b, v.accuracy_a, v.accuracy_b,
                             v.largest_weight_difference, cell.step_time_us}) {
    fields.push_back(judged ? fmt::format("{}", value) : "");
  }
  for (std::string& field : fields) field = csv_field(field);
  return join(fields, ",") + "\n";
}

struct Field {
  std::string text, colour;
};

// The worst of the seeds and variants, and how many of them part.
Field field(const SweepResult& result, const std::string& recipe, const std::string& perturbation) {
  const Cell* cell = worst(result, recipe, perturbation);
  if (cell == nullptr) return {"·", ""};
  std::string text = fmt::format("{} {}", mark(standing(*cell)), cell_text(*cell));
  const std::string share = share_text(result, *cell);
  if (!share.empty()) text += " (" + share + ")";
  return {text, style(standing(*cell)).colour};
}

std::string legend() {
  std::string text;
  for (const auto& [standing, meaning] :
       {std::pair{Standing::kBitwise, "bitwise"},
        {Standing::kParts, "bits part, loss scale and accuracy agree"},
        {Standing::kBreaks, "loss scale, a skipped step or accuracy parts too"},
        {Standing::kFailed, "no verdict"}}) {
    text += fmt::format("{}{} {}", text.empty() ? "" : "   ", mark(standing), meaning);
  }
  return text + "   · not run\n";
}

}  // namespace

const char* mark(Standing standing) { return style(standing).mark; }

std::string cell_text(const Cell& cell) {
  if (!parted(cell)) return style(standing(cell)).word;
  if (!cell.verdict.first) return fmt::format("step {}", cell.verdict.first_differing_step);
  return fmt::format("step {}, {}", cell.verdict.first->step, cell.verdict.first->place);
}

std::string share_text(const SweepResult& result, const Cell& worst) {
  const std::string column = column_of(worst.perturbation);
  std::set<std::string> variants;
  std::set<int64_t> seeds;
  size_t all = 0, parting = 0;
  for (const Cell& cell : result.cells) {
    if (cell.recipe != worst.recipe || !is_under(cell, column)) continue;
    variants.insert(cell.perturbation);
    seeds.insert(cell.seed);
    ++all;
    parting += parted(cell) ? 1 : 0;
  }
  if (all < 2 || !parted(worst)) return "";
  const std::string what = variants.size() == 1 ? "seeds" : seeds.size() == 1 ? column + "s" : "runs";
  return fmt::format("{} of {} {}", parting, all, what);
}

std::string matrix_text(const SweepResult& result, bool colour) {
  std::vector<std::vector<Field>> rows = {{{"", ""}}};
  for (const std::string& perturbation : result.perturbations) rows[0].push_back({perturbation, "1"});
  for (const Recipe& recipe : result.recipes) {
    auto& row = rows.emplace_back(std::vector<Field>{{recipe.name(), "1"}});
    for (const std::string& perturbation : result.perturbations) {
      row.push_back(field(result, recipe.name(), perturbation));
    }
  }
  std::vector<size_t> widths(rows[0].size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i].text));
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padded_text = padded(row[i].text, i + 1 < row.size() ? widths[i] + 2 : 0);
      const bool plain = !colour || row[i].colour.empty();
      text += plain ? padded_text : fmt::format("\x1b[{}m{}\x1b[0m", row[i].colour, padded_text);
    }
    text += "\n";
  }
  return text + legend();
}

std::string matrix_csv(const SweepResult& result) {
  std::string csv =
      "recipe,perturbation,seed,verdict,step,op,element,ulp,cause,final_loss_a,final_loss_b,accuracy_a,"
      "accuracy_b,largest_weight_difference,step_time_us\n";
  for (const Cell& cell : result.cells) csv += csv_row(cell);
  return csv;
}

}  // namespace faultline::harness
