"""A small household in this process: the real store, the real routes, a clock that a test turns, voices made to order.

The encoder and the speech check are replaced at their ports. A clip carries its own embedding in its first samples, so
a test says exactly how alike two voices are; everything after the encoder is what ships.
"""

import io
import shutil
import wave
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import Any, Self

import httpx2
import numpy as np
from fastapi import FastAPI
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from sqlalchemy import Table, func, select
from starlette.types import ASGIApp

from voiceid import policy
from voiceid.calibration import Bars, Term
from voiceid.service import wiring
from voiceid.service.application import create_app
from voiceid.service.front import Front
from voiceid.service.problems import Net
from voiceid.settings import Settings
from voiceid.types import (
    SAMPLE_RATE_HZ,
    SAVE_RECORDINGS,
    VOICE_ID,
    Embedding,
    ModelId,
    Pcm,
    PersonId,
    Quality,
    Speech,
    Unusable,
)

DIM = 16
MODEL = ModelId("fixed@1")
GATE = (SAVE_RECORDINGS, VOICE_ID)
"""What opens the gate under the default rule."""

BARS = Bars(
    model_id=MODEL,
    evidence=(Term("one", -20.0, 40.0),),
    tail=(Term("one", 0.0, -10.0),),
    speech_s=(1.0, 10.0),
    guest_prior=0.5,
    name=float(np.exp(-6)),  # one person is named from a cosine of 0.60 on, one of four from 0.74
    store=float(np.exp(-8)),  # and stored from 0.80 on, of four from 0.94
    apart=3.0,
    ask=0.0,
    same_voice=0.5,
    same_person=0.95,
)
"""Bars made for made-up voices; they say nothing about real ones."""

_NAMES = ("ada", "ben", "cleo", "dan", "eve", "finn", "gwen", "mia", "noa")


def voice(name: str, alike: float = 1.0) -> NDArray[np.float32]:
    """The embedding of a made-up speaker, at this cosine to their own; different speakers have nothing in common."""
    made = np.zeros(DIM, dtype=np.float32)
    made[_NAMES.index(name)] = alike
    made[-1] = np.sqrt(1 - alike**2)
    return made


def wav(samples: NDArray[np.float32]) -> bytes:
    """A WAV file of 16 bits, 16 kHz, mono."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE_HZ)
        out.writeframes((samples * 32767).astype("<i2").tobytes())
    return file.getvalue()


def clip(vector: NDArray[np.float32], seconds: float = 2.5) -> bytes:
    """A WAV file that `FixedEncoder` hears as this embedding."""
    samples = np.zeros(int(seconds * SAMPLE_RATE_HZ), dtype=np.float32)
    samples[:DIM] = vector * 0.9
    return wav(samples)


class FixedEncoder:
    """`Encoder`: reads the embedding that `clip` wrote."""

    def __init__(self, model_id: ModelId = MODEL) -> None:
        self.model_id = model_id
        self.dim = DIM
        self.heard = 0

    def embed(self, speech: Speech, /) -> Embedding:
        self.heard += 1
        vector = speech.samples[:DIM].astype(np.float32)
        return Embedding(vector / np.linalg.norm(vector), self.model_id)


def everything_is_speech(pcm: Pcm, /) -> Speech | Unusable:
    """`SpeechCheck`: the whole clip is good speech, unless it is shorter than a second."""
    quality = Quality(pcm.duration_s, pcm.duration_s, -20.0, 40.0, 0.0)
    if pcm.duration_s < 1:
        return Unusable("too_short", "too_short", pcm.duration_s, 1.0, quality)
    return Speech(pcm.samples, quality)


START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Clock:
    """`Clock`: stands still until a test turns it."""

    def __init__(self, time: datetime = START) -> None:
        self.time = time

    def __call__(self) -> datetime:
        return self.time

    def forward(self, **span: float) -> None:
        self.time += timedelta(**span)


@dataclass(frozen=True)
class Member:
    """A person with a session."""

    id: PersonId
    headers: dict[str, str]
    path: str
    """`/v1/households/…/people/…`"""


class Home:
    """One household of one installation, driven over HTTP."""

    def __init__(self, root: Path, *, real: Path | None = None, **settings: Any) -> None:
        """Open the installation in `root`; `real`: the folder of synthetic voices, heard by the shipped encoder."""
        if not (root / "data").exists() and "database_url" not in settings:
            shutil.copytree(_untouched(), root, dirs_exist_ok=True)
        self.root = root
        self.clock = Clock()
        self.encoder = FixedEncoder()
        self.settings = Settings(data_dir=root / "data", keys_dir=root / "keys", **settings)
        self._real = real
        self.members: dict[str, Member] = {}
        self._open()
        started = wiring.first_start(self.services)
        assert started is not None
        self.id = started.household
        self.path = f"/v1/households/{self.id}"
        self.admin, self.owner = bearer(started.admin_token), bearer(started.owner_token)

    def twin(self, root: Path) -> "Home":
        """The same household in another place, as it is now: making one is quick, enrolling is not."""
        shutil.copytree(self.root, root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*-shm"))
        return self._moved(root)

    def beside(self) -> "Home":
        """A second process on the same data and keys."""
        return self._moved(self.root)

    def _moved(self, root: Path) -> "Home":
        other = copy(self)
        other.root, other.clock, other.encoder = root, Clock(self.clock()), FixedEncoder(self.encoder.model_id)
        other.settings = replace(self.settings, data_dir=root / "data", keys_dir=root / "keys")
        other.members = dict(self.members)
        other._open()
        return other

    def _open(self) -> None:
        fakes: dict[str, Any] = {"encoder": self.encoder, "check": everything_is_speech, "bars": BARS}
        self.services = wiring.build(self.settings, now=self.clock, **({} if self._real else fakes))
        self.client = TestClient(as_served(create_app(self.services)), raise_server_exceptions=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.client.close()
        self.services.close()
        self.services.store.keys.close()  # type: ignore[attr-defined]  # the file key store's own

    def restarts(self) -> Self:
        """Open everything anew, as after the end of the process."""
        self.close()
        self._open()
        return self

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def call(
        self, method: str, path: str, by: Mapping[str, str] | None = None, **more: Any
    ) -> httpx2.Response:
        """One request. A path that does not begin with `/` is one of the household's."""
        address = path if path.startswith("/") else f"{self.path}/{path}".rstrip("/")
        headers = {**(by or {}), **more.pop("headers", {})}
        answered: httpx2.Response = self.client.request(method, address, headers=headers, **more)
        return answered

    def ok(self, method: str, path: str, by: Mapping[str, str] | None = None, **more: Any) -> Any:
        """One request that must succeed; its JSON."""
        answered = self.call(method, path, by, **more)
        assert answered.is_success, f"{method} {path}: {answered.status_code} {answered.text}"
        return answered.json() if answered.content else None

    def joins(self, name: str, *, kind: str = "adult", guardians: tuple[str, ...] = ()) -> Self:
        """Enter a person and sign them in; nothing is asked."""
        body = {"display_name": name.title(), "kind": kind, "guardians": [self[who].id for who in guardians]}
        person = PersonId(self.ok("POST", "people", self.owner, json=body)["id"])
        path = f"{self.path}/people/{person}"
        code = self.ok("POST", f"{path}/invitations", self.owner)["code"]
        session = self.ok("POST", "/v1/session", json={"code": code})
        self.members[name] = Member(person, bearer(session["token"]), path)
        return self

    def grants(self, name: str, *purposes: str, by: str | None = None, **more: Any) -> Self:
        """Say yes to these purposes; `by`: the guardian who says it."""
        who = self[by or name]
        for purpose in purposes:
            self.ok("PUT", f"{self[name].path}/consents/{purpose}", who.headers, json=decision(**more))
        return self

    def agrees(self, *names: str) -> Self:
        """Join, and say yes to what opens the gate."""
        for name in names:
            if name not in self.members:
                self.joins(name)
            self.grants(name, *GATE)
        return self

    def enrolls(self, *names: str) -> Self:
        """Join, agree, read four sentences, complete."""
        for name in names:
            self.agrees(name).enrolls_here(name)
        return self

    def enrolls_here(self, name: str) -> Self:
        """Read four sentences and complete, with whatever was agreed to."""
        self.completes(name, self.reads(name))
        return self

    def reads(self, name: str, takes: int = 4, by: str | None = None) -> str:
        """Start an enrollment and read so many sentences; its id."""
        headers = self[by or name].headers
        started = self.ok("POST", f"{self[name].path}/enrollments", headers)
        for number in range(1, takes + 1):
            sound = self.sound(name, f"enroll_{number}")
            added = self.ok("POST", f"{self[name].path}/enrollments/{started['id']}/takes", headers, **sound)
            assert added["accepted"], added
            self.clock.forward(seconds=5)
        return str(started["id"])

    def completes(self, name: str, enrollment: str, by: str | None = None) -> Any:
        return self.ok("POST", f"{self[name].path}/enrollments/{enrollment}/complete", self[by or name].headers)

    def withdraws(self, name: str, *purposes: str) -> Any:
        """Take purposes back, all of them if none is named; the last receipt."""
        paths = [f"{self[name].path}/consents/{purpose}" for purpose in purposes] or [f"{self[name].path}/consents"]
        return [self.ok("DELETE", path, self[name].headers) for path in paths][-1]

    def sound(self, name: str, file: str = "request_1") -> dict[str, Any]:
        """Body and content type of a clip of this speaker."""
        if self._real:
            content, kind = (self._real / name / f"{file}.flac").read_bytes(), "audio/flac"
        else:
            content, kind = clip(voice(name)), "audio/wav"
        return {"content": content, "headers": {"content-type": kind}}

    def hears(self, name: str, by: Mapping[str, str] | None = None, alike: float = 1.0, **query: Any) -> Any:
        """The answer to one request in this voice; the owner asks unless somebody else does."""
        sound = self.sound(name)
        if alike < 1 and not self._real:
            sound["content"] = clip(voice(name, alike))
        return self.ok("POST", "recognize", by or self.owner, params=query, **sound)

    def names(self, speaker: str) -> str | None:
        """Whom the household hears in this voice, not so sure that anything is kept; None: nobody."""
        person = self.hears(speaker, alike=0.78)["person"]
        return person and str(person["display_name"]).lower()

    def asks(self, name: str) -> Any:
        """The answer to a request that comes with its text, a minute later."""
        form = {"audio": ("a.wav", self.sound(name)["content"], "audio/wav")}
        said = {"transcript": "will it rain today", "intent": "weather"}
        self.clock.forward(minutes=1)
        return self.ok("POST", "recognize", self.owner, files=form, data=said)

    def kept(self, name: str) -> Any:
        """The first interaction that was kept of this person."""
        return self.ok("GET", f"{self[name].path}/interactions", self[name].headers)["items"][0]

    def token(self, role: str, skill: str | None = None) -> dict[str, str]:
        """The headers of a new token of the household."""
        body = {"role": role, "label": "kitchen"} | ({"skill": skill} if skill else {})
        return bearer(self.ok("POST", "tokens", self.owner, json=body)["token"])

    def count(self, table: Table, name: str | None = None) -> int:
        """How many rows a table holds, of one person if named."""
        query = select(func.count()).select_from(table)
        if name is not None:
            query = query.where(table.c.person_id == self[name].id)
        with self.services.store.database.reader() as tx:
            return int(tx.execute(query).scalar_one())

    def rows(self, table: Table) -> list[Any]:
        with self.services.store.database.reader() as tx:
            return list(tx.execute(select(table)).all())

    def keys(self) -> set[str]:
        """Ids of the keys that exist."""
        return set(self.services.store.keys.alive())

    def bytes_on_disk(self) -> dict[str, bytes]:
        """Every file of the installation, but for SQLite's shared memory: readers enter their locks into that."""
        files = [path for path in self.root.rglob("*") if path.is_file() and not path.name.endswith("-shm")]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files}


def as_served(app: FastAPI) -> ASGIApp:
    """The whole application behind the front door, as `voiceid serve` has it."""
    return Net(Front(app.state.services, app))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def decision(word: str = "granted", **more: Any) -> dict[str, Any]:
    """The body of a decision on a consent, to the current wording."""
    body = {"decision": word, "policy_version": policy.version(), "language": "en", "method": "screen"}
    return body | more


@cache
def _untouched() -> Path:
    """A new installation with its tables, made once: migrating is most of what opening one costs."""
    root = Path(mkdtemp(prefix="voiceid-home-"))
    store = wiring.open_store(Settings(data_dir=root / "data", keys_dir=root / "keys"))
    store.database.close()
    return root
