#include "harness/cli/command_line.h"

int main(int argc, char** argv) { return faultline::harness::command_line(argc, argv); }
