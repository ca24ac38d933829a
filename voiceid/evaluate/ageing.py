"""Half a year in a household, in simulation: voices age, microphones are replaced. Does adapting help, and whom?

`python -m voiceid.evaluate.ageing ../shared/speech/dev --out docs/adapt.json`

Households of four from a folder `speaker/utterance.*`. From day to day a member's voice is stretched a little more, up
to `OLDER`: pitch, formants and tempo together. Every 50 days the household has another microphone. On each day that
counts, a member says something that may be adapted to, and asks something short: in the first and in the last 50 days
that is measured, and nothing is adapted to it. All are clips that enrolled nobody, and no clip serves for both. Guests
ask as often as members. Then an impostor moves in: of everybody else the most similar to one member, who speaks every
day, as long as a member does, and before them.

The same sound is judged without adapting, with it as shipped, and, to see what the bounds are for, with none of them:
whoever is named is adapted to, and the enrolled takes count for no more than the others.
"""

import argparse
import json
import random
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voiceid import adapt
from voiceid.calibration import Bars
from voiceid.decide import decide
from voiceid.decode import FULL_SCALE, decode
from voiceid.encode import open_encoder, take_views
from voiceid.evaluate.channels import Channels
from voiceid.evaluate.corpora import CONTENT_TYPES, Speaker, read_corpus
from voiceid.evaluate.embed import TAKES
from voiceid.ports import Encoder, Matches
from voiceid.ports import SpeechCheck as SpeechCheckPort
from voiceid.speech import SpeechCheck, is_narrow, too_noisy
from voiceid.types import SAMPLE_RATE_HZ, Decision, Embedding, Pcm, PersonId, Samples, Speech
from voiceid.voiceprint import pooled

OLDER = 0.04
"""Stretch of a voice at the end, of some members up, of others down."""
SIZE = 4
WINDOW_DAYS = 50
"""The first and the last so many days are measured; a microphone lasts as long."""
_CLIPS = TAKES + 4
_LONGEST_S, _SHORT_S = 4.0, 1.5
"""What is adapted to, pauses and all; what is measured, speech and its margins."""
_BOOTSTRAPS = 1000
Mode = Literal["without", "adapting", "unbounded"]
MODES: tuple[Mode, ...] = ("without", "adapting", "unbounded")
Windows = dict[str, list[bool]]
_COUNTED = ("missed", "misnamed", "named", "accepted")


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """One request, as the encoder hears it."""

    speech: Speech
    embedding: Embedding


class Ears:
    """Clips as they sound on some day, through some microphone, embedded."""

    def __init__(self, encoder: Encoder, check: SpeechCheckPort, corpus: Path) -> None:
        self._encoder = encoder
        self._check = check
        self._device = Channels(corpus).open("device").request

    def takes(self, person: Speaker, clips: Sequence[int]) -> adapt.Views:
        """Both views of the clips that enroll, shape (n, 2, dim), as they were recorded."""
        heard = [self._heard(_samples(person, clip)) for clip in clips]
        good = [one for one in heard if one is not None and not too_noisy(one.quality)]
        return np.stack([take_views(self._encoder, one) for one in good])

    def ask(self, person: Speaker, clip: int, older: float, microphone: str, *, short: bool) -> Ask | None:
        """One request; None where the speech check lets nothing through. `short`: no more of it than a command has."""
        samples = _samples(person, clip)
        if short:
            spoken = self._heard(samples)
            samples = spoken.samples[: int(_SHORT_S * SAMPLE_RATE_HZ)] if spoken else samples
        heard = self._heard(self._device.apply(stretched(samples, older), microphone))
        if heard is None or is_narrow(heard.quality):
            return None
        return Ask(heard, self._encoder.embed(heard))

    def _heard(self, samples: Samples) -> Speech | None:
        heard = self._check(Pcm(samples, clipping=float(np.mean(np.abs(samples) >= FULL_SCALE))))
        return heard if isinstance(heard, Speech) else None


def _samples(person: Speaker, clip: int) -> Samples:
    file = person.clips[clip]
    whole = decode(file.read_bytes(), CONTENT_TYPES[file.suffix.lower()], max_s=60).samples
    return whole[: int(_LONGEST_S * SAMPLE_RATE_HZ)]


def stretched(samples: Samples, by: float) -> Samples:
    """The same sound played slower (`by` > 0) or faster: pitch, formants and tempo change together."""
    length = round(len(samples) * (1 + by))
    spectrum = np.fft.rfft(samples)
    kept = np.zeros(length // 2 + 1, dtype=spectrum.dtype)
    shared = min(len(kept), len(spectrum))
    kept[:shared] = spectrum[:shared]
    return (np.fft.irfft(kept, length) * (length / len(samples))).astype(np.float32)


@dataclass(eq=False)
class Member:
    """Somebody enrolled, and what was added since."""

    person: PersonId
    enrolled: adapt.Views
    added: list[NDArray[np.float32]] = field(default_factory=list)

    def direction(self, mode: Mode, bars: Bars) -> NDArray[np.float32]:
        """As `match.Index` holds them; unbounded: all takes alike."""
        enrolled = bars.projected(self.enrolled[:, 0])
        new = bars.projected(np.stack(self.added)) if self.added else enrolled[:0]
        return pooled(np.concatenate([enrolled, new])) if mode == "unbounded" else adapt.direction(enrolled, new)


class House:
    """Four members, judged and adapted to as the product does."""

    def __init__(self, members: Sequence[tuple[PersonId, adapt.Views]], bars: Bars, mode: Mode) -> None:
        self.members = [Member(person, enrolled) for person, enrolled in members]
        self._bars = bars
        self._mode = mode
        self._adapted_on: dict[PersonId, int] = {}

    def hears(self, ask: Ask | None) -> Decision | None:
        """Who it is; None: nobody could tell."""
        if ask is None:
            return None
        bars = self._bars
        if ask.embedding.turn < bars.one_voice:
            return None
        probe = bars.projected(ask.embedding.vector)
        prints = [member.direction(self._mode, bars) for member in self.members]
        found = {one.person: float(probe @ made) for one, made in zip(self.members, prints, strict=True)}
        return decide(Matches.of(found), ask.speech.quality, bars)

    def names(self, ask: Ask | None) -> PersonId | None:
        decision = self.hears(ask)
        return decision.person if decision else None

    def lives_through(self, ask: Ask | None, day: int) -> PersonId | None:
        """Judge a request, and add it to the voiceprint of whom it named, if it may be; at most one a day."""
        decision = self.hears(ask)
        if ask is None or decision is None or decision.person is None or self._mode == "without":
            return decision.person if decision else None
        member = next(one for one in self.members if one.person == decision.person)
        if self._adapted_on.get(member.person) != day and self._may_add(ask, decision, member):
            member.added = [*member.added, ask.embedding.vector][-adapt.AT_MOST :]
            self._adapted_on[member.person] = day
        return decision.person

    def _may_add(self, ask: Ask, decision: Decision, member: Member) -> bool:
        if self._mode == "unbounded":
            return True
        certain = adapt.is_certain(decision, ask.speech.quality, self._bars)
        return certain and adapt.belongs(member.enrolled, ask.embedding.vector, self._bars)


@dataclass(frozen=True)
class Life:
    """What is simulated."""

    days: int = 200
    every: int = 10
    """Days between two that count."""
    houses: int = 4
    size: int = SIZE
    seed: int = 0

    @property
    def counting(self) -> range:
        return range(0, self.days, self.every)

    def window(self, day: int) -> str | None:
        """`first`, `last`, or None for what lies between."""
        return "first" if day < WINDOW_DAYS else "last" if day >= self.days - WINDOW_DAYS else None


@dataclass(eq=False)
class Street:
    """One household with everything that is heard in it, embedded once for every mode."""

    members: list[tuple[PersonId, adapt.Views]]
    adapts: dict[int, list[Ask | None]] = field(default_factory=dict)
    """By day: what each member says that may be adapted to."""
    asks: dict[int, list[Ask | None]] = field(default_factory=dict)
    """By day, in both windows: what each member says that is measured, as many requests of each."""
    guests: dict[int, list[Ask | None]] = field(default_factory=dict)
    impostor: dict[int, Ask | None] = field(default_factory=dict)


def streets(corpus: Path, life: Life, ears: Ears, bars: Bars) -> Iterator[Street]:
    """Draw the households, and embed what is said in them."""
    people = [one for one in read_corpus(corpus) if len(one.clips) >= _CLIPS]
    random.Random(life.seed).shuffle(people)
    needed = life.houses * life.size
    chosen = people[:needed]
    if len(chosen) < needed or life.houses < 2:  # noqa: PLR2004 the guests are the members of the other households
        raise ValueError("too few speakers with eight clips")
    drawn = {one.name: random.Random(f"{life.seed}/{one.name}").sample(range(len(one.clips)), _CLIPS) for one in chosen}
    takes = {one.name: ears.takes(one, drawn[one.name][:TAKES]) for one in chosen}
    for number in range(life.houses):
        home = chosen[number * life.size : (number + 1) * life.size]
        others = [one for one in chosen if one not in home]
        street = Street([(PersonId(one.name), takes[one.name]) for one in home])
        closest = max(others, key=lambda one: max(_alike(takes[one.name], takes[m.name], bars) for m in home))
        for day in life.counting:
            microphone = f"{life.seed}/{number}/{day // WINDOW_DAYS}"
            turn = day // life.every % 2
            age = day / life.days * OLDER
            older = [age * (1 if zlib.crc32(one.name.encode()) % 2 else -1) for one in home]
            said = list(zip(home, older, strict=True))
            clip = drawn[closest.name][TAKES + turn]
            street.impostor[day] = ears.ask(closest, clip, 0.0, microphone, short=False)
            street.adapts[day] = [
                ears.ask(one, drawn[one.name][TAKES + turn], by, microphone, short=False) for one, by in said
            ]
            if life.window(day) is not None:
                guests = [(one, 0.0) for one in random.Random(microphone + str(day)).sample(others, life.size)]
                street.asks[day], street.guests[day] = (
                    [ears.ask(one, clip, by, microphone, short=True)
                     for one, by in who for clip in drawn[one.name][TAKES + 2 :]]
                    for who in (said, guests)
                )  # fmt: skip
        yield street


def _alike(one: adapt.Views, other: adapt.Views, bars: Bars) -> float:
    return float(pooled(bars.projected(one[:, 0])) @ pooled(bars.projected(other[:, 0])))


def live(street: Street, life: Life, bars: Bars, mode: Mode, *, impostor: bool) -> dict[str, Windows]:
    """One household's half year: `missed` and `misnamed` members, `named` guests, `accepted` impostor, by window.

    A member's entries follow each other in the order of the members, day by day.
    """
    house = House(street.members, bars, mode)
    found: dict[str, Windows] = {what: {"first": [], "last": []} for what in _COUNTED}
    for day in life.counting:
        window = life.window(day)
        if impostor:
            named = house.lives_through(street.impostor[day], day)
            if window:
                found["accepted"][window].append(named is not None)
        for ask in street.adapts[day]:
            house.lives_through(ask, day)
        if window is None:
            continue
        each = len(street.asks[day]) // life.size
        for number, ask in enumerate(street.asks[day]):
            person, named = street.members[number // each][0], house.names(ask)
            found["missed"][window].append(named != person)
            found["misnamed"][window].append(named not in {None, person})
        found["named"][window] += [house.names(ask) is not None for ask in street.guests[day]]
    return found


def simulate(corpus: Path, life: Life, tell: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Live through all of it in every mode, with and without the impostor; the figures as a JSON object.

    Raises: ValueError, for too few speakers; what open_encoder() and Bars.shipped() raise.
    """
    encoder = open_encoder("campplus", Path("models"))
    bars = Bars.shipped(encoder.model_id, "balanced")
    ears = Ears(encoder, SpeechCheck.shipped(), corpus)
    lives: dict[tuple[Mode, bool], list[dict[str, Windows]]] = {(m, i): [] for m in MODES for i in (False, True)}
    for street in streets(corpus, life, ears, bars):
        for (mode, impostor), houses in lives.items():
            houses.append(live(street, life, bars, mode, impostor=impostor))
        tell(f"household {len(lives['without', False])} of {life.houses}")
    told = {"corpus": corpus.name, "encoder": encoder.model_id, "policy": "balanced", "older": OLDER}
    asked = {"days": life.days, "every": life.every, "houses": life.houses, "size": life.size, "seed": life.seed}
    return {
        **told, **asked,
        "members": {mode: _figures(lives[mode, False], life) for mode in MODES},
        "with_impostor": {mode: _figures(lives[mode, True], life) for mode in MODES},
    }  # fmt: skip


def _figures(houses: Sequence[dict[str, Windows]], life: Life) -> dict[str, Any]:
    """Shares in both windows, each with its interval: over speakers for members, over households for guests."""
    told: dict[str, Any] = {}
    for what in _COUNTED:
        for window in ("first", "last"):
            rows = [np.array(house[what][window], dtype=float) for house in houses]
            if not rows[0].size:
                continue
            of_members = what in {"missed", "misnamed"}
            units = [row.reshape(-1, life.size, _CLIPS - TAKES - 2) if of_members else row[:, None] for row in rows]
            per_unit = np.concatenate([unit.mean(axis=(0, 2) if of_members else 0) for unit in units])
            told[f"{what}_{window}"] = {"share": round(float(per_unit.mean()), 4), "ci95": _interval(per_unit),
                                        "trials": int(sum(row.size for row in rows))}  # fmt: skip
    return told


def _interval(per_unit: NDArray[np.float64]) -> list[float]:
    """Bootstrap over the units, 95 %."""
    drawn = np.random.default_rng(0).choice(per_unit, (_BOOTSTRAPS, len(per_unit))).mean(axis=1)
    return [round(float(end), 4) for end in np.quantile(drawn, (0.025, 0.975))]


def main(words: Sequence[str]) -> None:
    """Simulate, print the figures as one JSON document."""
    parser = argparse.ArgumentParser(prog="python -m voiceid.evaluate.ageing")
    parser.add_argument("corpus", type=Path)
    for name, default in (("days", 200), ("every", 10), ("houses", 4), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path, help="also write it there; `make docs` puts docs/adapt.json on its page")
    chosen = parser.parse_args(words)
    life = Life(chosen.days, chosen.every, chosen.houses, SIZE, chosen.seed)
    command = f"python -m voiceid.evaluate.ageing {' '.join(words)}"
    figures = simulate(chosen.corpus, life, lambda line: print(line, file=sys.stderr))  # noqa: T201 progress
    found = json.dumps({"command": command, **figures}, indent=1)
    if chosen.out:
        chosen.out.write_text(found + "\n")
    print(found)  # noqa: T201 the one document


if __name__ == "__main__":
    main(sys.argv[1:])
