"""import tensorboard's generated code over the protobuf of the environment."""

import importlib

from _verdict import raises

raises(
    lambda: importlib.import_module("tensorboard.compat.proto.summary_pb2").__name__,
    "Descriptors cannot|has no attribute 'GetPrototype'|cannot import name 'builder'|runtime_version",
)
