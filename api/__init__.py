"""The HTTP API: parses, calls one service, shapes the answer."""

import control_plane  # noqa: F401 - it says how structlog is loaded, so it comes first
