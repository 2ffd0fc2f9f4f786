"""Logs: events with names and fields, one line each, on stderr; secrets never enter."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

# structlog looks for rich, which takes 5 MB of each process, for tracebacks that ours never shows
_rich = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]  # this says that it cannot be imported
import structlog  # noqa: E402 - see above

del sys.modules["rich"]
if _rich is not None:
    sys.modules["rich"] = _rich
get_logger = structlog.get_logger
bound_fields = structlog.contextvars.bound_contextvars
SECRET_WORDS = ("passphrase", "password", "token", "secret", "authorization", "hmac_key")


# a one-time link's token: its id may be read, what follows opens the portal
_TOKEN = re.compile(r"\b(mlk_|ons_)([0-9A-Za-z]{4,40})(?:\.|%2[Ee])[^\s\"'<>]*")


def without_tokens(value: Any) -> Any:
    """Return a value of a log line with the secrets of one-time links taken out, at any depth."""
    if isinstance(value, str):
        return _TOKEN.sub(r"\1\2.[hidden]", value) if "_" in value else value
    if isinstance(value, MutableMapping):
        return {without_tokens(name): without_tokens(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_tokens(each) for each in value]
    return value


def hide_tokens(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take the secrets of one-time links out of everything that a line says."""
    for name, value in event.items():
        event[name] = without_tokens(value)
    return event


def hide_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace values whose field names say that they are secret."""
    for name in event:
        if any(word in name.lower() for word in SECRET_WORDS):
            event[name] = "[hidden]"
    return event


def configure(*, level: str, style: str, part: str) -> None:
    """Send everything to stderr in ``style`` console or json, bound to the process ``part``."""
    number = logging.getLevelNamesMapping()[level.upper()]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
        structlog.processors.format_exc_info,
        hide_tokens,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(part=part)
    # what libraries log has the same form, so that every line can be read by a machine
    handler = logging.StreamHandler(sys.stderr)
    drop_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[drop_meta, renderer]
        )
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler])
