"""A C++ compiler beside the one that Bazel finds by itself."""

load("@bazel_tools//tools/cpp:unix_cc_toolchain_config.bzl", "cc_toolchain_config")

def compiler(name, cpu, driver, binutils, include_folders, files = [], compile_flags = [], link_flags = []):
    """What --crosstool_top takes.

    Args:
      name: of it.
      cpu: as Bazel calls the processor.
      driver: path of the C++ compiler.
      binutils: path of ar and the like, without their names.
      include_folders: where the compiler finds headers by itself.
      files: labels of what it reads besides.
      compile_flags: more of them.
      link_flags: more of them.
    """
    tools = {tool: binutils + tool for tool in ["ar", "cpp", "dwp", "gcov", "ld", "llvm-cov", "nm", "objcopy", "objdump", "strip"]}
    tools["gcc"] = driver

    # `//...` does not ask for it.
    tags = ["manual"]
    cc_toolchain_config(
        name = name + "_config",
        abi_libc_version = "local",
        abi_version = "local",
        compile_flags = ["-U_FORTIFY_SOURCE"] + compile_flags,
        compiler = name,
        cpu = cpu,
        cxx_builtin_include_directories = include_folders,
        host_system_name = "local",
        link_flags = link_flags,
        link_libs = ["-lstdc++", "-lm"],
        opt_compile_flags = ["-DNDEBUG", "-ffunction-sections", "-fdata-sections"],
        opt_link_flags = ["-Wl,--gc-sections"],
        tags = tags,
        target_libc = "local",
        target_system_name = "local",
        tool_paths = tools,
        toolchain_identifier = name,
    )
    native.filegroup(name = name + "_files", srcs = files, tags = tags)
    native.cc_toolchain(
        name = name + "_toolchain",
        all_files = name + "_files",
        ar_files = name + "_files",
        as_files = name + "_files",
        compiler_files = name + "_files",
        dwp_files = name + "_files",
        linker_files = name + "_files",
        objcopy_files = name + "_files",
        strip_files = name + "_files",
        tags = tags,
        toolchain_config = name + "_config",
    )
    native.cc_toolchain_suite(name = name, toolchains = {cpu: name + "_toolchain"}, tags = tags)
