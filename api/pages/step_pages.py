"""The pages of a step in each of their states; ``steps.py`` has what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi.responses import Response

from api.errors import STATUS
from api.pages.home import standing
from api.pages.rendering import page
from api.pages.steps import (
    answered,
    checks_shown,
    differences,
    fields_shown,
    lines_of,
)
from api.pages.wording import TEXTS, Language
from control_plane.domain.errors import DomainError
from control_plane.domain.onboarding_answers import Fault
from control_plane.domain.onboarding_document import Answers, Field
from control_plane.domain.onboarding_errors import AnswersRefused, StepChanged
from control_plane.domain.onboarding_step import StepStatus
from control_plane.domain.rules import Rules
from control_plane.services.onboarding_portal import Portal
from control_plane.workflows.onboarding_steps import LAUNCH, StepState

# steps on which it is shown where the environment stands
_WITH_STANDING: Final = frozenset({"confirm_tenant_and_mode", "network_and_hub", LAUNCH})


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A step as somebody looks at it; ``mark`` is what forms of their session carry."""

    portal: Portal
    language: Language
    mark: str

    @property
    def step(self) -> StepState:
        """The step that is shown."""
        if self.portal.step is None:
            raise LookupError("no step is shown")
        return self.portal.step

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields that its tenant has."""
        return self.step.rule.variant(self.portal.welcome.tenant.mode)

    @property
    def texts(self) -> Mapping[str, str]:
        """What pages say in the language."""
        return TEXTS[self.language]

    def page(self, template: str, *, status: int = 200, **given: Any) -> Response:
        """Return a page about the step."""
        tenant, rule = self.portal.welcome.tenant, self.step.rule
        keys = [each.rule.key for each in self.portal.steps]
        number = self.texts["step_number"].replace("NUMBER", str(keys.index(rule.key) + 1))
        return page(
            template, self.language, status=status,
            key=rule.key, title=rule.title_for(tenant.mode)[self.language],
            help=rule.help[self.language], mark=self.mark,
            number=number.replace("COUNT", str(len(keys))),
            has_standing=rule.key in _WITH_STANDING,
            receipt=self.receipt(), **standing(tenant, self.language), **given,
        )  # fmt: skip

    def receipt(self) -> str:
        """Return in words whether the receipt of a Hub in the customer's cloud was taken."""
        if self.portal.welcome.tenant.mode != "C":
            return ""
        at = self.portal.receipt_at
        if at is None:
            return self.texts["receipt_none"]
        return self.texts["receipt_taken"].replace("AT", f"{at:%Y-%m-%d %H:%M} UTC")

    def titles(self, keys: tuple[str, ...]) -> list[tuple[str, str]]:
        """Return keys and titles of steps."""
        mode = self.portal.welcome.tenant.mode
        return [
            (each.rule.key, each.rule.title_for(mode)[self.language])
            for each in self.portal.steps
            if each.rule.key in keys
        ]


def step_page(
    shown: Shown,
    rules: Rules,
    *,
    error: DomainError | None = None,
    entered: Answers | None = None,
    is_saved: bool = False,
) -> Response:
    """Return the page of a step, with what was entered where that could not be taken."""
    state, language, texts = shown.step, shown.language, shown.texts
    document = rules.onboarding
    if state.waits_for and state.status is not StepStatus.COMPLETE:
        return shown.page("step_waits.html", status=409, waits_for=shown.titles(state.waits_for))
    if state.status is StepStatus.COMPLETE:
        return shown.page(
            "step_done.html",
            answers=answered(shown.fields, state.answers, language, texts),
        )  # fmt: skip
    answers = state.answers if entered is None else entered
    faults = _faults_of(error)
    notice = ""
    if isinstance(error, AnswersRefused):
        says = texts["step_missing" if is_saved else "step_wrong"]
        notice = says.replace("COUNT", str(len(faults)))
    changed = error.data if isinstance(error, StepChanged) else None
    row = state.row
    return shown.page(
        "step.html", status=STATUS[error.code] if error is not None else 200,
        fields=fields_shown(shown.fields, answers, faults, document, language),
        notice=notice,
        # the newest: who saves after the comparison has seen it
        version=changed["version"] if changed is not None else state.version,
        differences=differences(shown.fields, changed["differences"], language, texts)
        if changed is not None else [],
        checks=checks_shown(state, document.checks, language),
        saved_at=f"{row.changed_at:%Y-%m-%d %H:%M} UTC" if row is not None else "",
        is_launch=state.rule.key == LAUNCH,
        review=_review(shown) if state.rule.key == LAUNCH else [],
        unfinished=[
            each
            for each in lines_of(shown.portal.steps, shown.portal.welcome.tenant.mode, language,
                                 texts)
            if not each.is_done and each.key != LAUNCH
        ],
    )  # fmt: skip


def reopen_page(shown: Shown, *, error: DomainError | None = None, reason: str = "") -> Response:
    """Return the page that asks whether a step is opened again."""
    return shown.page(
        "step_reopen.html", status=STATUS[error.code] if error is not None else 200,
        resets=shown.titles(shown.step.resets), reset_keys=" ".join(shown.step.resets),
        version=shown.step.version, reason=reason, error=error is not None,
    )  # fmt: skip


def kept_page(
    language: Language, action: str, fields: Mapping[str, str], *, mark: str, status: int
) -> Response:
    """Return what was entered with a button that sends it again; nothing was done with it."""
    texts = TEXTS[language]
    is_out = status == 401
    return page(
        "step_kept.html", language, status=status, action=action, mark=mark,
        fields=list(fields.items()),
        title=texts["out_title" if is_out else "broken_title"],
        text=texts["step_form_stale"], how=texts["out_text"] if is_out else "",
    )  # fmt: skip


def _faults_of(error: DomainError | None) -> list[Fault]:
    if not isinstance(error, AnswersRefused):
        return []
    return [Fault.from_document(each) for each in error.data["faults"]]


def _review(shown: Shown) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return what was answered in every other step, to be read once more."""
    mode = shown.portal.welcome.tenant.mode
    return [
        (
            each.rule.title_for(mode)[shown.language],
            answered(each.rule.variant(mode), each.answers, shown.language, shown.texts),
        )
        for each in shown.portal.steps
        if each.rule.key != LAUNCH
    ]
