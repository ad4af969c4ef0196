"""A library that Debian installs: headers under /usr/include, which the toolchain searches by itself."""

def system_library(name, package, header, **kwargs):
    """A cc_library that fails when built, naming the package, if `header` is missing."""
    native.genrule(
        name = name + "_check",
        outs = [name + "_installed.h"],
        cmd = "test -e /usr/include/{h} || test -e /usr/include/$$(uname -m)-linux-gnu/{h} || ".format(h = header) +
              "{{ echo 'faultline needs {p}: apt-get install {p}' >&2; exit 1; }}; touch $@".format(p = package),
    )
    native.cc_library(
        name = name,
        hdrs = [name + "_check"],
        visibility = ["//visibility:public"],
        **kwargs
    )
