"""Every way in: REST with a raw body, a form, a live stream, the command line; each with markers of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from websockets.sync.client import connect

from voiceid.decode import decode
from voiceid.proof.household import ALL, House, Member, made_up
from voiceid.proof.server import environment
from voiceid.proof.voices import MadeUpEncoder, everything_is_speech, flac, utter, wav
from voiceid.scan import Clip, Marker, Text, Vector
from voiceid.types import SAMPLE_RATE_HZ, Pcm, Samples, Speech
from voiceid.voiceprint import pooled

ENTRANCES = ("raw", "form", "stream", "command line")
_STUDIO_HZ = 44_100
_RAW = f"audio/pcm;rate={SAMPLE_RATE_HZ};encoding=s16le;channels=1"
_CHUNK = SAMPLE_RATE_HZ // 10
_TICK_S = 0.01
_NEVER = datetime.fromtimestamp(0, UTC)


@dataclass
class Canary:
    """One person, and everything about them that could be left somewhere."""

    member: Member
    markers: list[Marker] = field(default_factory=list)
    told: frozenset[str] = frozenset()
    """Markers that go with the profile alone: what the person told about themselves."""
    words: frozenset[str] = frozenset()
    of_range: frozenset[str] = frozenset()
    time_range: tuple[datetime, datetime] = (_NEVER, _NEVER)
    _recordings: dict[str, str] = field(default_factory=dict)

    @classmethod
    def sing(cls, house: House, entrances: Sequence[str] = ENTRANCES) -> "Canary":
        """Let one go in through each of these entrances, on top of what enrolling takes in."""
        canary = cls(house.joins("Zyxandra Quellwort", "canary"))
        canary._tell()
        canary.member.grants(*ALL)
        canary._enroll()
        for entrance in entrances:
            canary._speak(house, entrance)
        return canary

    @property
    def names(self) -> frozenset[str]:
        return frozenset(marker.name for marker in self.markers)

    def recording(self, entrance: str) -> str:
        """The id of what was kept of the request through this entrance."""
        return self._recordings[entrance]

    def of_recording(self, entrance: str) -> frozenset[str]:
        return frozenset({f"sound: {entrance}"})

    def _tell(self) -> None:
        told = {"bell": "the brass bell of Ullswick rings twice"}
        self.member.client.change_person(self.member.person, preferences=told)
        self.markers += [Text("name", self.member.name), Text("preference", told["bell"])]
        self.told = self.names

    def _enroll(self) -> None:
        """Four takes, each in another form; the voiceprint is made of their vectors."""
        member = self.member
        started = member.client.start_enrollment(member.person).id
        studio = wav(utter(member.speaker, 1, rate_hz=_STUDIO_HZ), _STUDIO_HZ)
        plain = np.rint(utter(member.speaker, 4) * 32767).astype("<i2").tobytes()
        member.takes(started, studio)
        member.takes(started, made_up(member.speaker, 2))
        member.takes_in_a_form(started, wav(utter(member.speaker, 3)), "audio/wav")
        member.takes(started, plain, _RAW)
        member.client.complete_enrollment(member.person, started)
        files = (studio, made_up(member.speaker, 2), wav(utter(member.speaker, 3)), plain)
        forms = ("44.1 kHz", "FLAC", "form", "PCM")
        vectors = []
        for form, content in zip(forms, files, strict=True):
            pcm = decode(content, _RAW if form == "PCM" else None, max_s=60)
            vectors.append(_vector(pcm.samples))
            self.markers += [Clip(f"take: {form}", pcm.samples, (content,)), Vector(f"vector: {form}", vectors[-1])]
        self._pooled = Vector("voiceprint", pooled(np.stack(vectors)))
        self.markers.append(self._pooled)

    def _speak(self, house: House, entrance: str) -> None:
        """One request; what is kept of it is told apart by being the newest."""
        number = 100 + ENTRANCES.index(entrance)
        samples = utter(self.member.speaker, number)
        words = f"the violet lighthouse hums at {entrance}"
        began = datetime.now(UTC)
        before = self._kept()
        match entrance:
            case "raw":
                house.owner.recognize(flac(samples))
            case "form":
                house.owner.recognize(flac(samples), transcript=words, intent="weather")
            case "stream":
                _stream(house, samples)
            case _:
                _by_command(house, flac(samples), words)
        fresh = self._kept() - before
        if len(fresh) != 1:
            raise RuntimeError(f"{len(fresh)} recordings of one request through {entrance}")
        self._recordings[entrance] = fresh.pop()
        self.markers.append(Clip(f"sound: {entrance}", samples, () if entrance == "stream" else (flac(samples),)))
        if entrance in {"form", "command line"}:
            self.markers.append(Text(f"words: {entrance}", words))
            self.words |= {f"words: {entrance}"}
        if entrance == "form":
            time.sleep(_TICK_S)
            self.time_range = (began, datetime.now(UTC))
            self.of_range = frozenset({"sound: form", "words: form"})
        time.sleep(_TICK_S)

    def _kept(self) -> set[str]:
        return {one.id for one in self.member.client.recordings(self.member.person).items}


def _vector(samples: Samples) -> Any:
    """What the service makes of this sound."""
    heard = everything_is_speech(Pcm(samples))
    if not isinstance(heard, Speech):
        raise TypeError("a canary must be heard")
    return MadeUpEncoder().embed(heard).vector


def _stream(house: House, samples: Samples) -> None:
    """Half a second of silence, the clip, a second of silence, in chunks of 100 ms."""
    silence = np.zeros(SAMPLE_RATE_HZ // 2, dtype=np.float32)
    sound = np.rint(np.concatenate([silence, samples, silence, silence]) * 32767).astype("<i2").tobytes()
    where = house.owner.url.replace("http", "ws", 1) + f"/v1/households/{house.owner.household}/listen"
    token = {"Authorization": f"Bearer {house.server.ready['owner_token']}"}
    with connect(where, additional_headers=token, open_timeout=10, close_timeout=5) as socket:
        for at in range(0, len(sound), 2 * _CHUNK):
            socket.send(sound[at : at + 2 * _CHUNK])
        socket.send(json.dumps({"type": "end"}))
        while json.loads(socket.recv(timeout=20))["type"] != "decision":
            pass


def _by_command(house: House, content: bytes, words: str) -> None:
    """`voiceid recognize FILE`, in a process of its own; the file lies where nobody looks for canaries."""
    path = house.server.place.root.parent / "what was said.flac"
    path.write_bytes(content)
    ours = {"VOICEID_URL": house.server.url, "VOICEID_TOKEN": house.server.ready["owner_token"]}
    command = [sys.executable, "-m", "voiceid", "recognize", str(path), "--transcript", words, "--json"]
    try:
        subprocess.run(  # noqa: S603 our own command
            command, env=environment(house.server.place, **ours), check=True, capture_output=True, timeout=60,
            cwd=Path.cwd(),
        )  # fmt: skip
    finally:
        path.unlink()
