"""What becomes of tests whose real part, a database or an engine, cannot be had on a machine."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

WITHOUT = "TESTS_WITHOUT"  # not TENANTPLANE_…: every process refuses settings it does not know


def cannot_be_had(part: str, reason: str) -> NoReturn:
    """Fail a test that needs ``part``; skip it where ``TESTS_WITHOUT`` names the part.

    Left out by themselves, all tests of a broken part would count as passed.
    """
    if part in os.environ.get(WITHOUT, "").split(","):
        pytest.skip(f"{reason} ({WITHOUT} names {part})")
    pytest.fail(f"{reason}\n{WITHOUT}={part} leaves out what needs it.", pytrace=False)
