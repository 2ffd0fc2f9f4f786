"""The control plane: knows tenants and runs; knows neither HTTP nor Pulumi."""

import sys

# Where rich is installed, structlog loads it and pygments for tracebacks that we have it write as
# plain text: 4 MB in each process that stays. It finds neither while it is loaded itself.
if "structlog" not in sys.modules and "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # as the import system documents it
    import structlog  # noqa: F401 - for every module that follows

    del sys.modules["rich"]
