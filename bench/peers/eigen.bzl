"""Eigen for one instruction set, as a shared object that shows one function alone."""

def eigen_kernels(name, copts):
    object = "lib%s.so" % name
    native.cc_binary(
        name = object,
        srcs = [
            "eigen_kernels.cc",
            "eigen_kernels.h",
            "work.h",
        ],
        copts = copts + [
            "-O3",
            "-mtune=generic",
            "-fopenmp",
            "-fvisibility=hidden",
            # gcc 12 sees uninitialised values in its own AVX-512 intrinsics.
            "-Wno-maybe-uninitialized",
            "-Wno-uninitialized",
            "-DFAULTLINE_EIGEN=faultline_" + name,
        ],
        linkopts = [
            "-lgomp",
            "-Wl,--version-script,$(location eigen_kernels.lds)",
        ],
        linkshared = True,
        deps = [
            "eigen_kernels.lds",
            "//third_party:eigen",
        ],
    )
    native.cc_library(name = name, srcs = [object])
