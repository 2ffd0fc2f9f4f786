"""The generated gRPC messages of the Pulumi SDK, importable without the SDK around them.

Importing `pulumi` runs its whole package (programs, automation, tracing): half a second and ten
megabytes that a plugin has no use for. `skip_sdk_initialisers` registers the three packages above
the generated modules as plain folders. Only the plugin's own process calls it, before anything
imports `pulumi`; everywhere else the messages come from the ordinary package.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def skip_sdk_initialisers() -> None:
    """Make `pulumi.runtime.proto.*` importable without running the initialisers above it.

    Does nothing when `pulumi` is loaded already.
    """
    spec = importlib.util.find_spec("pulumi")
    if "pulumi" in sys.modules or spec is None or spec.origin is None:
        return
    folder = Path(spec.origin).parent
    for name, path in (
        ("pulumi", folder),
        ("pulumi.runtime", folder / "runtime"),
        ("pulumi.runtime.proto", folder / "runtime" / "proto"),
    ):
        package = ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
