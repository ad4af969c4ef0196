"""The three shapes of a C++ target here."""

# The floor of every kernel (AVX2 with FMA). Here and not in .bazelrc, so that a build for another
# processor does not get it. For aarch64 gcc would order instructions before it assigns registers, and put sums of a
# product into memory in its innermost loop: 1.5 times the cycles, by LLVM's model of a Neoverse N1.
PROCESSOR_COPTS = select({
    "//tools:aarch64": ["-fno-schedule-insns"],
    "//tools:x86_64": ["-march=haswell", "-maes", "-mpclmul", "-mtune=generic"],
    "//conditions:default": [],
})

def faultline_library(name, copts = [], linkstatic = True, **kwargs):
    native.cc_library(name = name, copts = PROCESSOR_COPTS + copts, linkstatic = linkstatic, **kwargs)

def faultline_binary(name, copts = [], **kwargs):
    native.cc_binary(name = name, copts = PROCESSOR_COPTS + copts, **kwargs)

def faultline_test(name, srcs, deps, copts = [], **kwargs):
    """A Catch2 test over the common main, which writes skips with their reason to the JUnit file.

    Other tests see it: //tests/long runs it elsewhere."""
    native.cc_test(
        name = name,
        srcs = srcs,
        copts = PROCESSOR_COPTS + copts,
        deps = deps + ["//tests/support:catch_main"],
        linkstatic = True,
        visibility = ["//tests:__subpackages__"],
        **kwargs
    )

def _entry(ctx):
    file = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = file, target_file = ctx.executable.program, is_executable = True)
    runfiles = ctx.runfiles([ctx.executable.program])
    return DefaultInfo(executable = file, runfiles = runfiles)

# A second name for a program, which looks at the name that it was called by.
entry = rule(
    implementation = _entry,
    attrs = {"program": attr.label(executable = True, cfg = "target", mandatory = True)},
    executable = True,
)
