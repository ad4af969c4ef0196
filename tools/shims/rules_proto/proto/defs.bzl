"""Forwards to Bazel's native protocol buffer rules."""

proto_library = native.proto_library
