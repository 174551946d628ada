"""The models of a line: the champion that decides, the challenger on trial, and those before, to go back to.

```
registry.json     who is what, what happened when; replaced as a whole
<name>/           a model's folder as it was added, with its certificate; never changed
```
Every use of a folder compares its files with the hashes that were noted when it came in.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from edge.certification.certificate import load_certificate
from shared.atomic_file import replace_file
from shared.errors import BadInputError
from shared.json_text import NOT_JSON

REGISTRY, MODEL, CERTIFICATE = "registry.json", "model.tflite", "certificate.json"
NEEDED = (MODEL, "gate.json")
SCHEMA = 1
NAME_DIGITS = 12

What = Literal["founded", "added", "refused", "promoted", "dropped", "rolled_back"]


class Model(msgspec.Struct, frozen=True):
    """One model folder."""

    sha256: str  # of model.tflite
    files: dict[str, str]  # SHA-256 by file name
    parent: str | None  # the champion that it was learnt from
    added: datetime
    metrics: dict[str, Any] = {}


class Event(msgspec.Struct, frozen=True):
    """Something that happened to a model."""

    at: datetime
    what: What
    model: str
    why: str = ""


class State(msgspec.Struct, frozen=True):
    """registry.json."""

    schema: int
    task: str
    champion: str
    challenger: str | None = None
    previous: tuple[str, ...] = ()  # champions before, the newest last
    models: dict[str, Model] = {}
    events: tuple[Event, ...] = ()


class Registry:
    """One registry; each change is on the disk when its method returns. Raises BadInputError for what cannot be.

    Attributes: `state`, as it was last read or written.
    """

    def __init__(self, folder: Path, state: State, now: Callable[[], datetime]) -> None:
        """Use `Registry.create` or `Registry.open`."""
        self.folder, self.state, self._now = folder, state, now

    @classmethod
    def create(
        cls, folder: Path, task: str, champion: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> Registry:
        """A new registry whose champion is a copy of the model folder `champion`."""
        if (folder / REGISTRY).exists():
            raise BadInputError(f"{folder}: holds a registry already")
        with _reported(folder):
            folder.mkdir(parents=True, exist_ok=True)
        registry = cls(folder, State(SCHEMA, task, ""), now)
        with registry._locked():
            name, model = registry._take_in(champion, None, {})
            registry._write(
                msgspec.structs.replace(registry.state, champion=name, models={name: model}), "founded", name, ""
            )
        return registry

    @classmethod
    def open(cls, folder: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Registry:
        """The registry in `folder`."""
        return cls(folder, _read(folder), now)

    # Who is what.

    @property
    def champion(self) -> Path:
        """Folder of the model that decides, its files checked."""
        return self._checked(self.state.champion)

    @property
    def challenger(self) -> Path | None:
        """Folder of the model on trial, its files checked; None while there is none."""
        return None if self.state.challenger is None else self._checked(self.state.challenger)

    def certificate_of(self, model: Path) -> Path | None:
        """The certificate that belongs to a model of the registry; None without one."""
        path = model / CERTIFICATE
        return path if path.exists() else None

    @property
    def signer(self) -> str | None:
        """The base64 public key that signed the champion's certificate; None without one."""
        path = self.certificate_of(self.champion)
        return None if path is None else load_certificate(path).public_key

    # What happens to them.

    def add_challenger(self, folder: Path, metrics: dict[str, Any]) -> str:
        """Take in a copy of a model folder, to be tried beside the champion; returns its name."""
        with self._changing() as state:
            if state.challenger is not None:
                raise BadInputError(f"{self.folder}: {state.challenger} is on trial: promote or drop it first")
            name, model = self._take_in(folder, state.champion, metrics)
            models = {**state.models, name: model}
            self._write(msgspec.structs.replace(state, challenger=name, models=models), "added", name, "")
        return name

    def note_refused(self, folder: Path, why: str) -> None:
        """A model was learnt and found not worth a trial: only the history knows it."""
        with self._changing() as state:
            self._write(state, "refused", hashlib.sha256((folder / MODEL).read_bytes()).hexdigest(), why)

    def promote(self, why: str) -> str:
        """The challenger decides from now on; returns its name."""
        with self._changing() as state:
            name = self._on_trial(state)
            self._checked(name)
            previous = (*state.previous, state.champion)
            after = msgspec.structs.replace(state, champion=name, challenger=None, previous=previous)
            self._write(after, "promoted", name, why)
        return name

    def drop(self, why: str) -> str:
        """The challenger's trial is over; returns its name."""
        with self._changing() as state:
            name = self._on_trial(state)
            self._write(msgspec.structs.replace(state, challenger=None), "dropped", name, why)
        return name

    def rollback(self, why: str) -> str:
        """The champion before decides again; returns its name. Without one, or when its files changed, nothing is."""
        with self._changing() as state:
            if not state.previous:
                raise BadInputError(f"{self.folder}: {state.champion} is the first champion: there is none before it")
            name = state.previous[-1]
            self._checked(name)
            after = msgspec.structs.replace(state, champion=name, previous=state.previous[:-1])
            self._write(after, "rolled_back", state.champion, why)
        return name

    def _on_trial(self, state: State) -> str:
        if state.challenger is None:
            raise BadInputError(f"{self.folder}: no challenger is on trial: crustwatch edge learn brings one")
        return state.challenger

    def _checked(self, name: str) -> Path:
        """A model's folder, its files as they were when it came in."""
        place = self.folder / name
        for file, sha256 in self.state.models[name].files.items():
            try:
                found = hashlib.sha256((place / file).read_bytes()).hexdigest()
            except OSError as error:
                raise BadInputError(f"{place / file}: cannot be read: {error.strerror}") from None
            if found != sha256:
                raise BadInputError(f"{place / file}: was changed since the model was registered")
        return place

    def _take_in(self, folder: Path, parent: str | None, metrics: dict[str, Any]) -> tuple[str, Model]:
        """Copy a model folder, as a whole or not at all."""
        missing = [name for name in NEEDED if not (folder / name).is_file()]
        if missing:
            raise BadInputError(f"{folder}: not a model folder: {missing[0]} is missing")
        sha256 = hashlib.sha256((folder / MODEL).read_bytes()).hexdigest()
        name = f"{self.state.task}-{sha256[:NAME_DIGITS]}"
        if name in self.state.models:
            raise BadInputError(f"{self.folder}: {name} is registered already: the same integers were learnt before")
        with _reported(self.folder):
            half = self.folder / f"{name}.partial"
            for left in (half, self.folder / name):
                shutil.rmtree(left, ignore_errors=True)
            half.mkdir()
            files = {}
            for path in sorted(folder.iterdir()):
                if path.is_file():
                    data = path.read_bytes()
                    replace_file(half / path.name, data)
                    files[path.name] = hashlib.sha256(data).hexdigest()
            os.replace(half, self.folder / name)
        return name, Model(sha256, files, parent, self._now(), metrics)

    def _write(self, state: State, what: What, model: str, why: str) -> None:
        state = msgspec.structs.replace(state, events=(*state.events, Event(self._now(), what, model, why)))
        with _reported(self.folder):
            text = msgspec.json.format(msgspec.json.encode(state), indent=1)
            replace_file(self.folder / REGISTRY, text + b"\n")
        self.state = state

    @contextlib.contextmanager
    def _changing(self) -> Iterator[State]:
        """The present state, while nobody else changes it."""
        with self._locked():
            self.state = _read(self.folder)
            yield self.state

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with _reported(self.folder):
            handle = os.open(self.folder / "registry.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _read(folder: Path) -> State:
    path = folder / REGISTRY
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise BadInputError(
            f"{folder}: no registry: crustwatch edge models --registry {folder} --found MODEL begins one"
        ) from None
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read: {error.strerror}") from None
    return parse_registry(text, str(path))


def parse_registry(text: bytes, path: str) -> State:
    """The state in the bytes of a registry.json. Raises BadInputError with `path` for anything else."""
    try:
        state = msgspec.json.decode(text, type=State)
    except NOT_JSON as error:
        raise BadInputError(f"{path}: not a registry: {error}") from None
    named = {state.champion, *state.previous, *([state.challenger] if state.challenger else [])}
    if state.schema != SCHEMA or not named <= set(state.models):
        raise BadInputError(f"{path}: schema {state.schema}, or it names a model that it does not hold")
    files = [name for model in state.models.values() for name in model.files]
    if any("/" in name or "\0" in name or name in ("", ".", "..") for name in [*state.models, *files]):
        raise BadInputError(f"{path}: a model or a file of one is named like a path")
    return state


@contextlib.contextmanager
def _reported(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInputError(f"{folder}: the registry cannot be written: {error.strerror or error}") from None
