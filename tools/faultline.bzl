"""The two shapes of a C++ target here."""

def faultline_library(name, linkstatic = True, **kwargs):
    native.cc_library(name = name, linkstatic = linkstatic, **kwargs)

def faultline_test(name, srcs, deps, **kwargs):
    """A Catch2 test over the common main, which writes skips with their reason to the JUnit file."""
    native.cc_test(
        name = name,
        srcs = srcs,
        deps = deps + ["//tests/support:catch_main"],
        linkstatic = True,
        **kwargs
    )
