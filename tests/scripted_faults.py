"""What goes wrong in an apply of the scripted engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from control_plane.domain.errors import EngineFailed, EngineUnavailable


class ProcessDied(BaseException):
    """The process that called the engine is killed here: no ``except Exception`` sees it."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong in an apply once ``after`` resources are done.

    ``fails``: the cloud refuses the next one. ``runner_dies``, ``engine_dies``, ``provider_dies``
    and ``worker_dies``: that process is killed while it creates the next one, which leaves lock and
    interrupted create; ``created`` tells whether the cloud made it all the same. When ``after`` is
    beyond the last resource, all is done and unlocked, and only the answer is lost.
    ``backend_gone``: the state cannot be written any more. ``canceled``: somebody cancels it there.
    ``canceled_in_look``: while it is verified.
    """

    kind: Literal[
        "fails", "runner_dies", "engine_dies", "provider_dies", "worker_dies", "canceled",
        "canceled_in_look", "backend_gone",
    ]  # fmt: skip
    after: int = 1
    created: bool = True
    code: str = "provider"
    message: str = "the cloud refused the resource"

    def death(self) -> BaseException:
        """Return what the caller of the engine sees of a process that died."""
        if self.kind == "worker_dies":
            return ProcessDied()
        if self.kind == "backend_gone":
            return EngineUnavailable("the state backend is not available")
        who = self.kind.removesuffix("_dies")
        return EngineFailed(f"the {who}'s process died", reason=f"{who}_died")
