#include <CLI/CLI.hpp>
#include <deque>

#include "engine/base/error.h"
#include "engine/base/text.h"
#include "harness/cli/command_line.h"

namespace faultline::harness {

struct Options::Parser {
  Parser(const std::string& name, const std::string& meaning)
      : app(meaning, "faultline " + name), subcommand(name) {}

  CLI::App app;
  std::string subcommand;
  // Deques, because their elements stay where they are.
  std::deque<bool> flags;
  std::deque<int64_t> integers;
  std::deque<std::string> texts;
  std::deque<std::vector<std::string>> lists;

  // The first unknown argument, with the nearest option that exists.
  std::string explain_extra() const {
    std::vector<std::string> known;
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    }
    const std::string extra = app.remaining().front();
    const std::string name = extra.substr(0, extra.find('='));
    const std::string guess = name.starts_with("-") ? nearest(name, known) : "";
    return "'" + name + "' is not expected" + (guess.empty() ? "" : ", did you mean '" + guess + "'?");
  }

  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ErrorCode::kArgument, subcommand, what + " (see: faultline " + subcommand + " --help)");
  }
};

Options::Options(const std::string& subcommand, const std::string& meaning)
    : parser_(std::make_unique<Parser>(subcommand, meaning)) {}

Options::~Options() = default;

const bool& Options::flag(const std::string& name, const std::string& meaning) {
  bool& value = parser_->flags.emplace_back(false);
  parser_->app.add_flag(name, value, meaning);
  return value;
}

const int64_t& Options::integer(const std::string& name, int64_t fallback, const std::string& meaning) {
  int64_t& value = parser_->integers.emplace_back(fallback);
  parser_->app.add_option(name, value, meaning);
  return value;
}

const std::string& Options::text(const std::string& name, const std::string& fallback,
                                 const std::string& meaning) {
  std::string& value = parser_->texts.emplace_back(fallback);
  parser_->app.add_option(name, value, meaning)->type_name(fallback.empty() ? "TEXT" : "TEXT=" + fallback);
  return value;
}

const std::vector<std::string>& Options::texts(const std::string& name, const std::string& meaning) {
  std::vector<std::string>& value = parser_->lists.emplace_back();
  parser_->app.add_option(name, value, meaning)->expected(1)->take_all();
  return value;
}

const std::string& Options::argument(const std::string& name, const std::string& meaning) {
  std::string& value = parser_->texts.emplace_back();
  parser_->app.add_option(name, value, meaning)->required();
  return value;
}

const std::string& Options::argument(const std::string& name, const std::string& fallback,
                                     const std::string& meaning) {
  return text(name, fallback, meaning);
}

const std::vector<std::string>& Options::arguments(const std::string& name, const std::string& meaning) {
  std::vector<std::string>& value = parser_->lists.emplace_back();
  parser_->app.add_option(name, value, meaning)->required();
  return value;
}

bool Options::parse(const std::vector<std::string>& arguments) {
  given_ = arguments;
  try {
    // CLI11 takes them from the back.
    parser_->app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Success& help) {
    parser_->app.exit(help);
    return false;
  } catch (const CLI::ExtrasError&) {
    parser_->refuse(parser_->explain_extra());
  } catch (const CLI::ParseError& error) {
    parser_->refuse(error.what());
  }
  return true;
}

}  // namespace faultline::harness
