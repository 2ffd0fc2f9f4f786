"""What steps of playbooks need, when, and by when, in words."""

from __future__ import annotations

from control_plane.domain.playbook import Step, Time


def needs_of(step: Step) -> str:
    """Return in words what a step needs."""
    return ", ".join(
        need.step if need.outcome is None else f"{need.step} as {need.outcome}"
        for need in step.needs
    )


def conditions_of(step: Step) -> str:
    """Return in words on what a step depends."""
    found = [f"{name} {' or '.join(among)}" for name, among in step.conditions.items()]
    return ", ".join([*found, *([f"not {step.unless.step}"] if step.unless else [])])


def said(time: Time) -> str:
    """Return a time in words: ``2 business days after signed``."""
    unit = str(time.due.unit).removeprefix("elapsed_").replace("_", " ")
    amount = abs(time.due.amount)
    side = "before" if time.due.amount < 0 else "after"
    at = f", {time.due.at:%H:%M}" if time.due.at is not None else ""
    return f"{amount} {unit}{'' if amount == 1 else 's'} {side} {time.anchor or time.after}{at}"
