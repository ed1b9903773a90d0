"""
What a server imports and loads before it does anything, once for all that are forked from here.

Nothing here may start a thread or have gRPC do anything: neither outlives a fork.
"""

import importlib
import os

from adapters.kernel_cache import use_kernel_cache

use_kernel_cache()
# As `headgate serve` says before gRPC is imported.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
for name in ("adapters.cli", "adapters.server", "adapters.forward_process", "uvloop"):
    importlib.import_module(name)
importlib.import_module("engine.engine").Engine().take_group()
importlib.import_module("engine.sensing.compiling").compile_sensing()
