"""Names of the SDK for AWS, each loaded when it is first asked for.

The package of a service, ``pulumi_aws.ec2``, imports the module of each of its types, to have all
names in one place: two hundred modules. A program names a dozen. For Mode B the others took 0.4 s
of the processor in each call, and 30 MB. So a name is looked for where the generator of the
SDK puts it, ``Vpc`` and ``VpcArgs`` in ``vpc``, or else among the nested types in ``_inputs``. Only
for a name that is in neither does the package import what it would have imported.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Final

_SDK: Final = "pulumi_aws"
_NESTED: Final = "_inputs"
_WORD_BEGINS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ENDINGS: Final = ("ArgsDict", "Args", "Result", "_output")


def load_when_asked_for() -> None:
    """Have the packages of services load their names so; does nothing when the SDK is loaded."""
    if _SDK not in sys.modules and not any(isinstance(f, _Finder) for f in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds the packages directly under the SDK; everything else is found as ever."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """Return the spec of the package of a service, loaded by ``_Names``."""
        if fullname.rpartition(".")[0] != _SDK:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None or not spec.submodule_search_locations:
            return None
        spec.loader = _Names(spec.loader)
        return spec


class _Names(Loader):
    """Loads a package with nothing in it but how its names are found (PEP 562)."""

    def __init__(self, whole: Loader) -> None:
        self._whole = whole

    def exec_module(self, module: ModuleType) -> None:
        """Make the package find a name that it has not got yet."""

        def find(name: str) -> Any:
            for holder in _holders(module, name):
                if name in vars(holder):
                    setattr(module, name, vars(holder)[name])
                    return vars(holder)[name]
                if holder.__name__ == f"{module.__name__}.{name}":
                    return holder
            if not name.startswith("__") or name == "__all__":  # which asks for everything
                self._whole.exec_module(module)
                vars(module).pop("__getattr__", None)
                if name in vars(module):
                    return vars(module)[name]
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

        vars(module)["__getattr__"] = find


def _holders(package: ModuleType, name: str) -> Iterator[ModuleType]:
    """Import and yield the modules of a package that may have a name."""
    if name.startswith("__"):
        return
    bare = name.removeprefix("Awaitable")
    names = [bare, *(bare.removesuffix(ending) for ending in _ENDINGS if bare.endswith(ending))]
    modules = [_WORD_BEGINS.sub("_", each).lower() for each in names]
    if name[0].isupper():
        modules.append(_NESTED)
    for each in dict.fromkeys(modules):
        if (Path(package.__path__[0]) / f"{each}.py").is_file():
            found = importlib.import_module(f"{package.__name__}.{each}")
            if each in vars(found):  # a function and its module have one name, which is its own
                setattr(package, each, vars(found)[each])
            yield found
