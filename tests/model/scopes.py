"""How much of a tenant's life is searched: in every test run, and by ``make model``."""

from __future__ import annotations

from typing import Final

from tests.model.situation import MODE_A, MODE_B, Budget, Scope

TWO_PEOPLE: Final = ("olga", "otto")
SMALL: Final[dict[str, Scope]] = {
    "decisions": Scope(people=TWO_PEOPLE, needed=2,
                       budget=Budget(rejects=1, cancels=1, changes=1, days=1)),
    "holds": Scope(budget=Budget(holds=1, accidents=1, changes=1)),
    "drift": Scope(budget=Budget(drifts=1, looks=1, accidents=1, changes=1)),
    "accidents": Scope(budget=Budget(accidents=2, cancels=1)),
    "slices": Scope(modes=(MODE_A, MODE_A), budget=Budget(accidents=1)),
}  # fmt: skip
LARGE: Final[dict[str, Scope]] = {
    "everything": Scope(people=TWO_PEOPLE, needed=2,
                        budget=Budget(changes=1, looks=1, drifts=1, holds=1, cancels=1, rejects=1,
                                      accidents=1, days=1)),
    "two-crashes": Scope(budget=Budget(changes=1, drifts=1, holds=1, accidents=2)),
    "mixed": Scope(modes=(MODE_A, MODE_B), budget=Budget(changes=1, holds=1, accidents=1)),
    "two-hubs": Scope(modes=(MODE_B, MODE_B), budget=Budget(changes=1, cancels=1, accidents=1)),
}  # fmt: skip
