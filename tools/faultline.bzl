"""The three shapes of a C++ target here."""

# The floor of every kernel (AVX2 with FMA). Here and not in .bazelrc, so that a build for another
# processor does not get it.
PROCESSOR_COPTS = select({
    "//tools:x86_64": ["-march=haswell", "-maes", "-mpclmul", "-mtune=generic"],
    "//conditions:default": [],
})

def faultline_library(name, copts = [], linkstatic = True, **kwargs):
    native.cc_library(name = name, copts = PROCESSOR_COPTS + copts, linkstatic = linkstatic, **kwargs)

def faultline_binary(name, copts = [], **kwargs):
    native.cc_binary(name = name, copts = PROCESSOR_COPTS + copts, **kwargs)

def faultline_test(name, srcs, deps, copts = [], **kwargs):
    """A Catch2 test over the common main, which writes skips with their reason to the JUnit file."""
    native.cc_test(
        name = name,
        srcs = srcs,
        copts = PROCESSOR_COPTS + copts,
        deps = deps + ["//tests/support:catch_main"],
        linkstatic = True,
        **kwargs
    )
