"""What every resource type of the sandbox provider is: a table of fields and five calls.

`create` makes the thing exist and returns its id at once, so that whatever fails afterwards (in
`finish` or `read`) is reported as a resource that exists and is not complete, never forgotten.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

from stacks.sandbox.provider.aws import Aws
from stacks.sandbox.provider.compare import canonical, changes
from stacks.sandbox.provider.schema import Field, Fields, Problem, problems
from stacks.sandbox.provider.tags import TagChange, Tagging, pairs
from stacks.sandbox.provider.wire import UNKNOWN, Properties

Follows: TypeAlias = Mapping[str, frozenset[str]]
"""Outputs, and the inputs that move them."""


class ResourceType(ABC):
    """One type. Subclasses fill the class attributes and the calls; they keep no state.

    urn_type: Pulumi's name. label: AWS's name, for messages. fields: the inputs.
    outputs: what only AWS knows. follows: outputs that move when one of these inputs does.
    regional: whether it lives in a region. name_limit, name_prefix: of a generated name.
    tagging: how its tags change, where several services do that alike.
    """

    urn_type: ClassVar[str]
    label: ClassVar[str]
    fields: ClassVar[Fields]
    outputs: ClassVar[tuple[str, ...]] = ()
    follows: ClassVar[Follows] = MappingProxyType({})
    regional: ClassVar[bool] = True
    name_limit: ClassVar[int] = 255
    name_prefix: ClassVar[str] = ""
    tagging: ClassVar[Tagging | None] = None

    @abstractmethod
    def create(self, aws: Aws, inputs: Properties) -> str:
        """Make the resource exist and return its id. Raises ApiError."""

    def finish(self, aws: Aws, identity: str, inputs: Properties) -> None:  # noqa: B027 - most types are complete when created
        """Make the calls that complete a new resource. Raises ApiError."""

    @abstractmethod
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        """Return what AWS says of it (id under `id` when another than asked), None when gone.

        identity: its id or import id. known: its last outputs, or the inputs of a new one.
        All tags are returned under `tagsAll`.
        """

    def update(  # noqa: B027 - some types have nothing that changes in place
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        """Make the calls for the inputs named in `changed`, tags aside. Raises ApiError."""

    def retag(self, aws: Aws, identity: str, state: Properties, change: TagChange) -> None:
        """Remove and set tags. Raises ApiError."""
        how = self.tagging
        if how is None:
            return
        place = {**how.further, how.place: state["arn"] if how.by_arn else identity}
        if change.remove:
            aws.call(how.service, how.remove, **place, TagKeys=change.remove)
        if change.put:
            aws.call(how.service, how.put, **place, Tags=pairs(change.put, *how.pair))

    @abstractmethod
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        """Delete it and return True, or False when it was gone already. Raises ApiError."""

    def further_problems(self, inputs: Properties) -> Iterator[Problem]:
        """Yield what is wrong with inputs that are each fine for themselves.

        Called with known and required inputs of the right kinds, some of which may be UNKNOWN.
        """
        del inputs  # most types have nothing to say
        yield from ()

    # What follows is the same for all types.

    @property
    def taggable(self) -> bool:
        """Whether the type has tags."""
        return "tags" in self.fields

    @property
    def compared(self) -> Fields:
        """The inputs as Check returns them: with the tags of the provider under `tagsAll`."""
        return (
            {**self.fields, "tagsAll": Field(kind=self.fields["tags"].kind)}
            if (self.taggable)
            else self.fields
        )

    @property
    def name_field(self) -> str | None:
        """The input that carries the physical name, if the type has one that is made up."""
        return next((name for name, known in self.fields.items() if known.named), None)

    def problems(self, inputs: Properties) -> Iterator[Problem]:
        """Yield every reason to refuse these inputs."""
        given = {name: value for name, value in inputs.items() if name != "tagsAll"}
        found = list(problems(self.fields, given))
        yield from found
        if not found:
            yield from self.further_problems(given)

    def defaulted(self, inputs: Properties) -> Properties:
        """Return inputs with the defaults of what is missing."""
        filled = {name: known.default for name, known in self.fields.items()}
        given = {name: value for name, value in inputs.items() if not name.startswith("__")}
        return {name: value for name, value in {**filled, **given}.items() if value is not None}

    def planned(self, inputs: Properties, region: str) -> Properties:
        """Return the outputs a creation would have, UNKNOWN where only AWS will tell."""
        state = self.defaulted(inputs)
        for name, known in self.compared.items():
            if known.computed:
                state.setdefault(name, UNKNOWN)
        state.update(dict.fromkeys(self.outputs, UNKNOWN))
        if self.regional:
            state["region"] = region
        return state

    def replanned(self, old: Properties, inputs: Properties, changed: frozenset[str]) -> Properties:
        """Return the outputs an update would have."""
        state = dict(old)
        for name, known in self.compared.items():
            if inputs.get(name) is not None:
                state[name] = inputs[name]
            elif name in changed:
                state[name] = known.default
        for output, causes in self.follows.items():
            if causes & changed:
                state[output] = UNKNOWN
        return {name: value for name, value in state.items() if value is not None}

    def complete(self, read: Properties, known: Properties, aws: Aws) -> Properties:
        """Return the outputs from what was read and what only the provider knows."""
        state = {name: value for name, value in read.items() if name != "id"}
        for name, declared in self.fields.items():
            if declared.local:
                value = known.get(name)
                state[name] = declared.default if value is None else value
        if self.regional:
            state["region"] = aws.region
        return {name: value for name, value in state.items() if value is not None}

    def split_tags(self, state: Properties, known: Properties, defaults: Mapping[str, str]) -> None:
        """Set `tags` of a read state: all tags without those that come from the provider."""
        if self.taggable:
            own = known.get("tags") or {}
            state["tags"] = {
                key: value
                for key, value in (state.get("tagsAll") or {}).items()
                if key in own or defaults.get(key) != value
            }

    def inputs_of(self, state: Properties, old_inputs: Properties | None) -> Properties:
        """Return the inputs that describe `state`, for an import (no old ones) or a refresh.

        What means the same as before is left as it was written; what was never said and is as AWS
        would choose it stays unsaid.
        """
        told = old_inputs or {}
        inputs: Properties = {name: value for name, value in told.items() if name.startswith("__")}
        for name, known in self.compared.items():
            value = state.get(name)
            if told.get(name) is not None:
                moved = changes({name: known}, state, told)
                inputs[name] = value if moved else told[name]
            elif name == "tagsAll" or (known.computed and old_inputs is not None):
                continue
            elif canonical(known, value) != canonical(known, None) or known.required:
                inputs[name] = value
        return {name: value for name, value in inputs.items() if value is not None}

    def shown_name(self, inputs: Mapping[str, Any], logical: str) -> str:
        """Return the name to use in messages: the physical one if it is known."""
        physical = inputs.get(self.name_field or "")
        return physical if isinstance(physical, str) else logical
