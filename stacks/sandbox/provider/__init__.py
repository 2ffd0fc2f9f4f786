"""The sandbox `aws` provider: a Pulumi resource plugin over botocore for the emulated cloud.

It stands in for the official plugin of the same name and version, so that the stacks run on the
sandbox without a changed line. `write_plugin` makes the executable the engine starts; the private
Pulumi.yaml of an engine call points at its folder::

    plugins:
      providers:
        - {name: aws, path: <folder>, version: <sdk_version()>}
"""

import importlib.util
import json
import shlex
import sys
from pathlib import Path

PLUGIN_FILE = "pulumi-resource-aws"
PROCESS = "sandbox-aws"  # what each calls itself: one that the runner's guard forks has no command

_LAUNCHER = """\
#!/bin/sh
# one memory arena for each of many mostly idle threads would cost tens of megabytes
export MALLOC_ARENA_MAX=2
PYTHONPATH={root}${{PYTHONPATH:+:$PYTHONPATH}} exec {python} -P -m {module} "$@"
"""


def sdk_version() -> str:
    """Return the version of the installed `pulumi_aws` SDK, which the engine asks the plugin for.

    Read from the SDK's own plugin description, without importing the SDK.
    """
    spec = importlib.util.find_spec("pulumi_aws")
    if spec is None or spec.origin is None:
        msg = "the pulumi_aws package is not installed in this Python environment"
        raise ModuleNotFoundError(msg, name="pulumi_aws")
    described = json.loads(Path(spec.origin).with_name("pulumi-plugin.json").read_text("utf-8"))
    return str(described["version"])


def write_plugin(folder: Path) -> Path:
    """Write the plugin's launcher into `folder` (made if missing) and return the launcher's path.

    The launcher replaces itself by this very interpreter, so the engine is the parent of the
    plugin and its end can be noticed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    launcher = folder / PLUGIN_FILE
    launcher.write_text(
        _LAUNCHER.format(
            root=shlex.quote(str(Path(__file__).resolve().parents[3])),
            python=shlex.quote(sys.executable),
            module=__name__,
        ),
        "utf-8",
    )
    launcher.chmod(0o755)
    return launcher
