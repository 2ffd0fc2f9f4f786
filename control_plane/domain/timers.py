"""Timers: everything that falls due, as rows that one worker at a time takes up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class TimerKind(StrEnum):
    """What a timer is about; ``workflows/timers.py`` has what each does."""

    RUN_TURN = "run_turn"  # a run goes on: after a transient error, or to look at a lock again
    RUN_WATCH = "run_watch"  # a run that a worker took up is still in the queue
    APPROVAL_EXPIRY = "approval_expiry"
    BUNDLE_EXPIRY = "bundle_expiry"
    BUNDLE_WATCH = "bundle_watch"  # a build ends in time
    RETENTION = "retention"  # of the rows that its subject names
    RUN_DETAILS = "run_details"  # what is kept of an ended run for some time only
    SAGA_TURN = "saga_turn"  # a saga resumes: something happened that its step waits for
    WAIVER_END = "waiver_end"  # of a finding
    DELIVERY_TURN = "delivery_turn"  # one that was put off, or that a worker took up
    INTAKE_LOOK = "intake_look"  # at a source of contracts, or whether there is a new one
    JOURNEY_TURN = "journey_turn"  # a journey resumes: something happened, or a time has come
    MESSAGE_TURN = "message_turn"  # one that waits, or that a worker took up
    ONBOARDING_EXPIRY = "onboarding_expiry"  # of a one-time link
    DRIFT_LOOK = "drift_look"  # at a deployment: whether the cloud is as it was applied


@dataclass(frozen=True, kw_only=True)
class Timer:
    """One thing that falls due at ``due_at``; a kind and subject have at most one."""

    kind: TimerKind
    subject: str
    due_at: datetime
