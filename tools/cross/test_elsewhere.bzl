"""A test of this repository, built by another compiler, and run by an emulator if need be."""

def _elsewhere_impl(settings, attr):
    return {
        "//command_line_option:cpu": attr.cpu,
        "//command_line_option:crosstool_top": attr.compiler,
        # A static program is not position independent.
        "//command_line_option:force_pic": False,
    }

elsewhere = transition(
    implementation = _elsewhere_impl,
    inputs = [],
    outputs = [
        "//command_line_option:cpu",
        "//command_line_option:crosstool_top",
        "//command_line_option:force_pic",
    ],
)

def _impl(ctx):
    target = ctx.attr.test[0][DefaultInfo]
    script = ctx.actions.declare_file(ctx.label.name)
    command = "exec %s %s \"$@\"\n" % (ctx.attr.emulator, target.files_to_run.executable.short_path)
    ctx.actions.write(script, "#!/bin/sh\n" + command, is_executable = True)
    return DefaultInfo(executable = script, runfiles = target.default_runfiles)

elsewhere_test = rule(
    implementation = _impl,
    attrs = {
        "compiler": attr.string(mandatory = True, doc = "label of a compiler (compiler.bzl)"),
        "cpu": attr.string(default = "k8", doc = "what it compiles for"),
        "emulator": attr.string(doc = "the program that runs the test"),
        "test": attr.label(cfg = elsewhere, mandatory = True),
        "_allowlist_function_transition": attr.label(default = "@bazel_tools//tools/allowlists/function_transition_allowlist"),
    },
    test = True,
)
