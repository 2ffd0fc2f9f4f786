"""Ports: what the core needs from the outside, as protocols.

Every port has implementations under ``control_plane/adapters`` and one contract suite under
``tests/contracts`` that all of them pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]
