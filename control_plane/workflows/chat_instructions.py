"""What a person does where no channel can be opened, or nobody invited, by the product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from control_plane.workflows.step_actions import Asks

_TEAMS: Final = (
    (
        "Ask the customer's IT admin whether their organisation allows yours in shared channels: "
        "in Microsoft Entra, under External Identities, Cross-tenant access settings, both sides "
        "add the other's organisation and allow B2B direct connect, theirs outbound and yours "
        "inbound."
    ),
    (
        "In the Teams admin center, under Teams, Teams policies, check that the channel's owner "
        "may create shared channels and invite people from outside."
    ),
)
_SLACK: Final = (
    (
        "In Slack, under Settings, Workspace settings, Slack Connect, check who may create and "
        "share channels; an invitation may need the approval of an administrator."
    ),
)
_STEPS: Final[Mapping[str, Sequence[str]]] = {"teams": _TEAMS, "slack": _SLACK}
_PLACES: Final = {
    "teams": "In Teams, add a channel of the type Shared to the team for customers",
    "slack": "In Slack, create a private channel",
}


def by_hand(
    kind: str,
    *,
    name: str,
    url: str | None,
    roles: Sequence[str],
    why: str,
    result: Mapping[str, Any],
) -> Asks:
    """Return the task: open the channel unless it is there (``url``), and invite who is missing.

    People are named by their roles, since instructions are kept without personal data.
    """
    people = ", ".join(role.replace("_", " ") for role in dict.fromkeys(roles))
    steps = list(_STEPS[kind])
    if url is None:
        steps.append(f"{_PLACES[kind]}, with the name {name}.")
    if people:
        where = f"the channel {name}" + (f" ({url})" if url else "")
        steps.append(
            f"Invite the customer's {people} to {where}; the tenant's request has their addresses."
        )
    steps.append("Write to them that the channel is there, then close this task.")
    numbered = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
    what = "Open the shared channel" if url is None else "Invite the customer to the channel"
    return Asks(title=what, instructions=f"{why}.\n\n{numbered}", result=result)
