"""A look at everything that a state has in the cloud, through its own providers.

Each resource is read, and what was read is compared with the inputs that were applied: the first
half of the engine's ``preview --refresh``, asked by the runner itself (`provider.py`). Components,
providers and what waits for its replacement are not asked about, and what the stack only reads is
not compared, as the engine does it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import inf
from typing import Any, TypeVar

from stacks.contract import Code, PropertyChange
from stacks.engine.backend import State
from stacks.engine.call import Call
from stacks.engine.drifting import UNHEALTHY, changed, unwell
from stacks.engine.failures import CallFailed, Said, classify, name_of, type_of
from stacks.engine.provider import Provider, ProviderError
from stacks.engine.recorder import Recorder
from stacks.engine.state import in_cloud, provider_of
from stacks.engine.values import Decrypt, is_secret, opened

DOING = "verify the stack"
NO_ANSWER = frozenset(
    {
        Code.CANCELED,
        Code.PARENT_GONE,
        Code.PROVIDER_DIED,
        Code.BACKEND,
        Code.BACKEND_UNAVAILABLE,
        Code.PASSPHRASE,
    }
)
_HEED_SECONDS = 0.05
_PER_CORE = 4  # as the engine
_HIDDEN = "[secret]"  # the engine's word
_SHORTEST_SECRET = 3  # shorter ones are in every word

Resource = Mapping[str, Any]
Properties = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was found of one resource. ``differs`` are paths, or what else is not as applied;
    ``changes`` says it with values, as ``drifting.changed`` does.
    """

    is_missing: bool = False
    error: str | None = None
    differs: tuple[str, ...] = ()
    changes: tuple[PropertyChange, ...] = ()
    replaces: bool = False


@dataclass(kw_only=True)
class Sight:
    """What a look found, by URNs; ``failure`` says why something was not checked."""

    asked: list[str]
    seen: dict[str, list[Seen]] = field(default_factory=dict)
    failure: CallFailed | None = None

    def named(self, wanted: Callable[[Seen], bool]) -> list[str]:
        """Return the URNs of what was seen so, sorted."""
        return sorted(urn for urn, all_seen in self.seen.items() if any(map(wanted, all_seen)))

    @property
    def unasked(self) -> list[str]:
        """Return the URNs of what was not checked, sorted."""
        return sorted(urn for urn in self.asked if urn not in self.seen)

    def differing(self, is_judged: Callable[[str], bool]) -> list[str]:
        """Return the names of what is not as applied, with paths, of the URNs that are judged."""
        return [
            f"{name_of(urn)} ({', '.join(each.differs)})"
            for urn in filter(is_judged, self.named(lambda seen: bool(seen.differs)))
            for each in self.seen[urn]
            if each.differs
        ]


def look_at(call: Call, state: State | None, *, until: float) -> Sight:
    """Look at everything until ``until``, a time of the monotonic clock.

    Raises ``CallFailed`` when there is no answer at all, see ``NO_ANSWER``.
    """
    resources = in_cloud(state)
    sight = Sight(asked=sorted({r["urn"] for r in resources}))
    recorder = Recorder(phase="verify", emit=call.channel.event, stop=lambda: None)
    with ExitStack() as closing:
        asking = Looks(call, state, until, closing)
        try:
            looks = asking.begin(resources, _look)
            for done in completed(call, looks, until=until):
                _keep(sight, recorder, looks[done]["urn"], done.result())
        except CallFailed as failed:
            if failed.code in NO_ANSWER:
                raise
            sight.failure = failed
    if recorder.failed and sight.failure is None:
        sight.failure = classify(
            Said(exit_code=1, diagnostics=recorder.diagnostics, failed=recorder.failed),
            doing=DOING,
        )
        if sight.failure.code in NO_ANSWER:
            raise sight.failure
    for said in asking.said:
        recorder.take({"diagnosticEvent": said})
    return sight


def completed(
    call: Call, futures: Iterable[Future[Any]], *, until: float, doing: str = DOING
) -> Iterator[Future[Any]]:
    """Yield futures as they end. Raises ``CallFailed`` when the call is to stop, see ``heed``."""
    left = set(futures)
    while left:
        done, left = wait(left, timeout=_HEED_SECONDS, return_when=FIRST_COMPLETED)
        yield from done
        call.heed(until=until if left else inf, doing=doing)


class Looks:
    """Begins to look; ``closing`` ends what it has opened, and what is still under way."""

    def __init__(
        self,
        call: Call,
        state: State | None,
        until: float,
        closing: ExitStack,
        *,
        doing: str = DOING,
    ) -> None:
        self._call = call
        self._state = state
        self._until = until
        self._closing = closing
        self._doing = doing
        self._secrets = Secrets(call.sealer.decrypt)
        self._providers: list[Provider] = []
        self._pool = ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0)) * _PER_CORE)
        closing.callback(self._pool.shutdown, wait=False, cancel_futures=True)

    def begin(
        self,
        resources: Sequence[Resource],
        ask: Callable[[Provider, Resource, Properties, Properties, Secrets], T],
    ) -> dict[Future[T], Resource]:
        """Ask the provider of each resource, which is a process of its own, as ``ask`` does."""
        looks: dict[Future[T], Resource] = {}
        for reference in sorted({str(r.get("provider")) for r in resources}):
            provider = self._provider(reference)
            for resource in resources:
                if str(resource.get("provider")) == reference:
                    opened_up = (self._open(resource, "inputs"), self._open(resource, "outputs"))
                    look = self._pool.submit(ask, provider, resource, *opened_up, self._secrets)
                    looks[look] = resource
        return looks

    @property
    def said(self) -> list[dict[str, Any]]:
        """What the providers have logged, as the engine's diagnostics."""
        return [
            {**said, "message": self._secrets.hide(str(said["message"]))}
            for provider in self._providers
            for said in provider.said
        ]

    def _provider(self, reference: str) -> Provider:
        resource = provider_of(self._state, reference)
        if resource is None:
            raise CallFailed(Code.ENGINE, f"The state has no provider {name_of(reference)}.")
        inputs = self._open(resource, "inputs")
        configuration = json.dumps([reference, inputs], sort_keys=True, default=str)
        process = self._call.provider_process(str(inputs.get("version", "")), configuration)
        port = process.port(
            lambda seconds: self._call.heed(until=self._until, doing=self._doing, seconds=seconds)
        )
        provider = Provider(port)
        self._providers.append(provider)
        self._closing.callback(provider.close)
        configured = self._pool.submit(provider.configure, resource, inputs)
        try:
            for done in completed(self._call, [configured], until=self._until, doing=self._doing):
                done.result()
        except ProviderError as error:
            said = {"severity": "error", "message": self._secrets.hide(str(error))}
            raise classify(Said(exit_code=1, diagnostics=[said]), doing=self._doing) from None
        return provider

    def _open(self, resource: Resource, key: str) -> Properties:
        try:
            return self._secrets.open(resource.get(key) or {})
        except ValueError as error:
            text = f"The state has {error} in {name_of(resource['urn'])}."
            raise CallFailed(Code.ENGINE, text) from error


def _look(
    provider: Provider,
    resource: Resource,
    inputs: Properties,
    outputs: Properties,
    secrets: Secrets,
) -> Seen:
    """Read a resource and compare it, as the engine's refresh does."""
    if resource.get("pendingReplacement"):
        return Seen()
    try:
        found = provider.read(resource, inputs, outputs)
        if found is None:
            return Seen(is_missing=True)
        if resource.get("external"):
            return Seen(differs=found.reasons, changes=unwell(found.reasons, secrets.hide))
        difference = provider.differences(resource, found, inputs)
    except ProviderError as error:
        return Seen(error=secrets.hide(str(error)))
    changes = changed(
        difference.kinds, found=found, inputs=inputs, outputs=outputs, hide=secrets.hide
    )
    hidden = {name for name, value in inputs.items() if is_secret(value)}
    paths = {name if (name := _first(path)) in hidden else path for path in difference.paths}
    return Seen(
        differs=(*sorted(paths), *(UNHEALTHY for _ in found.reasons[:1])),
        changes=(*changes, *unwell(found.reasons, secrets.hide)),
        replaces=difference.replaces,
    )


def _keep(sight: Sight, recorder: Recorder, urn: str, seen: Seen) -> None:
    """Keep what was seen, and tell it as the engine would."""
    sight.seen.setdefault(urn, []).append(seen)
    metadata = {"urn": urn, "type": type_of(urn)}
    if seen.error is not None:
        said = {"severity": "error", "urn": urn, "message": seen.error}
        recorder.take({"diagnosticEvent": said})
        recorder.take({"resOpFailedEvent": {"metadata": {**metadata, "op": "refresh"}}})
    elif seen.is_missing or seen.differs:
        op = "create" if seen.is_missing else "replace" if seen.replaces else "update"
        recorder.take({"resOutputsEvent": {"metadata": {**metadata, "op": op}}})


class Secrets:
    """Opens values, and keeps what was secret in them out of messages."""

    def __init__(self, decrypt: Decrypt) -> None:
        self._decrypt = decrypt
        self._texts: set[str] = set()

    def open(self, properties: Mapping[str, Any]) -> Properties:
        """Return properties with their secrets in the open, see ``opened``."""
        return {str(k): opened(v, self._remembering) for k, v in properties.items()}

    def hide(self, text: str) -> str:
        """Return the text without what was opened."""
        for secret in sorted(self._texts, key=len, reverse=True):
            text = text.replace(secret, _HIDDEN)
        return text

    def _remembering(self, ciphertext: str) -> bytes:
        plain = self._decrypt(ciphertext)
        self._texts.update(t for t in _texts(json.loads(plain)) if len(t) >= _SHORTEST_SECRET)
        return plain


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    else:
        yield str(value)


def _first(path: str) -> str:
    return re.split(r"[.\[]", path, maxsplit=1)[0]
