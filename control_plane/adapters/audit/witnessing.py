"""Asking witnesses to cosign the root log, in a loop of its own beside the signer.

In one round all witnesses that are due get the same head, side by side, so that a quorum is of one
checkpoint. A cosignature is stored with its checkpoint as it comes, and only what is stored is
served. Nothing else waits for a witness: one that is slow or gone is asked later each time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from typing import Final, Self

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from control_plane.adapters.audit.addcheckpoint import (
    REFUSALS,
    WitnessFailed,
    WitnessHasSeen,
    add_checkpoint,
)
from control_plane.adapters.audit.cosignature import (
    Cosignature,
    CosignatureMisdated,
    read_cosignatures,
)
from control_plane.adapters.audit.cosigned import CosignedCheckpoint, newest_root
from control_plane.adapters.audit.merkle import consistency_proof
from control_plane.adapters.audit.note import NoteInvalid
from control_plane.adapters.audit.tiles import HashesMissing, TreeHashes
from control_plane.adapters.audit.trustpolicy import TrustPolicy, Witness
from control_plane.adapters.audit.witnessed import keep_cosignatures, keep_faults
from control_plane.domain.deployment import ROOT
from control_plane.logging import get_logger
from control_plane.ports.events import EventSender

REFRESH: Final = timedelta(hours=1)  # the newest head is cosigned again, even if it is unchanged
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
_LONGEST_PAUSE_REFUSED: Final = 600.0  # only a person can change that
_END_SECONDS: Final = 2.0
_log = get_logger("control_plane.audit.witnessing")


@dataclass
class _Known:
    """What this process knows of a witness; ``not_before`` is of the monotonic clock."""

    size: int = 0  # it has cosigned that many entries; a wrong size it corrects
    failures: int = 0
    not_before: float = 0.0
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class _Question:
    witness: Witness
    old: int
    proof: Sequence[bytes]


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    witness: Witness
    cosignatures: Sequence[Cosignature] = ()
    old: int = 0
    seen: int | None = None  # where it says that it has seen another size than ``old``
    failed: WitnessFailed | None = None


@dataclass(frozen=True, kw_only=True)
class Round:
    """What a round did: the head it was of, and by witness who cosigned it and who did not."""

    size: int = 0
    cosigned: frozenset[str] = frozenset()
    faults: Mapping[str, str] = field(default_factory=dict)


class Witnessing:
    """Asks the witnesses of a policy that have a URL. ``clock`` is compared with their times."""

    def __init__(
        self,
        engine: Engine,
        http: EventSender,
        policy: TrustPolicy,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        refresh: timedelta = REFRESH,
    ) -> None:
        self._engine = engine
        self._http = http
        self._policy = policy
        self._clock = clock
        self._monotonic = monotonic
        self._refresh = refresh
        self._known = {item.name: _Known() for item in policy.witnesses if item.url is not None}
        self._told: Mapping[str, str] | None = None  # faults, as the database was told

    def round(self) -> Round:
        """Ask every witness that is due about the newest head, and store what they say.

        Raises what the database raises, after which a round starts again from what it holds.
        """
        with self._engine.connect() as connection:
            head = newest_root(connection)
        if head is None:
            return Round()
        cosigned: set[str] = set()
        seen: dict[str, int | None] = {}
        for outcome in self._asked(head, self._questions(head, dict.fromkeys(self._due(head)))):
            if outcome.seen is not None and outcome.seen <= head.size:
                seen[outcome.witness.name] = outcome.seen
            else:
                cosigned |= self._take(head, outcome)
        for outcome in self._asked(head, self._questions(head, seen)):
            cosigned |= self._take(head, outcome)
        self._tell()
        faults = {name: known.fault for name, known in self._known.items() if known.fault}
        return Round(size=head.size, cosigned=frozenset(cosigned), faults=faults)

    def run(self, end: threading.Event, interval: float) -> None:
        """Make a round every ``interval`` seconds until ``end`` is set."""
        reported: str | None = None
        while not end.wait(interval):
            try:
                self.round()
                error = None
            except SQLAlchemyError as exc:
                # the text of a driver's error may name hosts and users: its class is enough
                error = type(exc).__name__.lower()
            if error is not None and error != reported:
                _log.error("witnessing.failed", code=f"database_{error}")
            reported = error

    def _due(self, head: CosignedCheckpoint) -> list[str]:
        """Return the witnesses without a cosignature of the head, or an old one; none too soon."""
        times = {item["key_id"]: item["time"] for item in head.cosigs}
        oldest = (self._clock() - self._refresh).timestamp()
        now = self._monotonic()
        return [
            item.name
            for item in self._policy.witnesses
            if item.name in self._known
            and times.get(item.key.id.hex(), 0) < oldest
            and self._known[item.name].not_before <= now
        ]

    def _questions(
        self, head: CosignedCheckpoint, due: Mapping[str, int | None]
    ) -> list[_Question]:
        """Return what to ask, each with the proof from the size that the witness knows.

        ``due`` are names, with the size where the witness has just said it.
        """
        questions: list[_Question] = []
        if not due:
            return questions
        with self._engine.connect() as connection:
            range_hash = TreeHashes(connection).of(ROOT)
            for item in self._policy.witnesses:
                if item.name not in due:
                    continue
                said = due[item.name]
                old = min(self._known[item.name].size if said is None else said, head.size)
                proof: Sequence[bytes] = ()
                try:
                    if 0 < old < head.size:
                        proof = consistency_proof(old, head.size, range_hash)
                except HashesMissing:
                    self._note_failure(item.name, WitnessFailed("hashes_missing"))
                    continue
                questions.append(_Question(witness=item, old=old, proof=proof))
        return questions

    def _asked(
        self, head: CosignedCheckpoint, questions: Sequence[_Question]
    ) -> Iterator[_Outcome]:
        """Ask side by side; yields outcomes as they come."""
        answers: SimpleQueue[_Outcome] = SimpleQueue()
        for question in questions:
            # threads that the end of the process does not wait for, as it would for a pool's
            threading.Thread(
                target=lambda one=question: answers.put(self._ask(head, one)),
                daemon=True, name="witness",
            ).start()  # fmt: skip
        for _ in questions:
            yield answers.get()

    def _ask(self, head: CosignedCheckpoint, question: _Question) -> _Outcome:
        witness = question.witness
        text = head.note.partition("\n\n")[0] + "\n"
        try:
            lines = add_checkpoint(
                self._http, str(witness.url), old=question.old, proof=question.proof,
                note=head.note,
            )  # fmt: skip
            found = read_cosignatures(
                lines, text, self._policy.keys, since=head.signed_at, now=self._clock()
            )
        except WitnessHasSeen as said:
            return _Outcome(witness=witness, old=question.old, seen=said.size)
        except WitnessFailed as failed:
            return _Outcome(witness=witness, failed=failed)
        except CosignatureMisdated:
            return _Outcome(witness=witness, failed=WitnessFailed("wrong_time"))
        except NoteInvalid:
            return _Outcome(witness=witness, failed=WitnessFailed("wrong_signature"))
        except Exception as exc:  # noqa: BLE001 - a bug in a thread must not make the round wait
            _log.error("witness.bug", witness=witness.name, code=type(exc).__name__)
            return _Outcome(witness=witness, failed=WitnessFailed("bug"))
        if witness.key.id.hex() not in {item.key_id for item in found}:
            missing = WitnessFailed("no_cosignature")
            return _Outcome(witness=witness, cosignatures=found, failed=missing)
        return _Outcome(witness=witness, cosignatures=found)

    def _take(self, head: CosignedCheckpoint, outcome: _Outcome) -> set[str]:
        """Store what came of a question; returns the names of witnesses that cosigned."""
        found = {item.key_id: item for item in outcome.cosignatures}
        names = [item for item in self._policy.witnesses if item.key.id.hex() in found]
        if found:
            with self._engine.begin() as connection:
                keep_cosignatures(connection, head.size, outcome.cosignatures, self._policy)
        for item in names:
            known = self._known.setdefault(item.name, _Known())
            if known.fault:
                _log.info("witness.recovered", witness=item.name, after=known.fault)
            known.size, known.failures, known.fault = head.size, 0, ""
        if outcome.failed is not None:
            self._note_failure(outcome.witness.name, outcome.failed)
        elif outcome.seen is not None:
            word = "has_seen_more" if outcome.seen > head.size else "has_seen_another"
            self._note_failure(outcome.witness.name, WitnessFailed(word))
        return {item.name for item in names}

    def _note_failure(self, name: str, failed: WitnessFailed) -> None:
        known = self._known[name]
        known.failures += 1
        is_refusal = failed.failure in REFUSALS
        longest = _LONGEST_PAUSE_REFUSED if is_refusal else _LONGEST_PAUSE
        pause = min(_FIRST_PAUSE * 2 ** min(known.failures - 1, 20), longest)
        if failed.pause is not None:
            pause = max(pause, min(failed.pause.total_seconds(), _LONGEST_PAUSE_REFUSED))
        known.not_before = self._monotonic() + pause
        if known.fault != failed.failure:
            tell = _log.error if is_refusal else _log.warning
            tell("witness.failed", witness=name, code=failed.failure)
            known.fault = failed.failure

    def _tell(self) -> None:
        """Keep the faults of witnesses where the status is read, when they change."""
        faults = {item.name: self._known[item.name].fault
                  for item in self._policy.witnesses if item.name in self._known}  # fmt: skip
        if faults != self._told:
            with self._engine.begin() as connection:
                keep_faults(connection, faults)
            self._told = faults


class WitnessLoop:
    """A thread that makes rounds until it is ended."""

    def __init__(self, witnessing: Witnessing, interval: float) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(
            target=witnessing.run, args=(self._end, interval), daemon=True, name="witnessing"
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it; an answer that is still awaited is given up, and asked for again later."""
        self._end.set()
        self._thread.join(_END_SECONDS)
