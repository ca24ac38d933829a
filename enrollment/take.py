"""The guided takes: prompt, listen, judge, advise, keep what the person agreed to keep.

Nothing is written before consent, and consent is read again in the transaction that writes. Under the rule `unbundled`
the sound of a take is never written at all: its embedding is enough.
"""

import json
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select, update

from enrollment.purge import Purge
from voiceid import policy
from voiceid.calibration import Bars
from voiceid.decode import to_flac
from voiceid.encode import take_views
from voiceid.errors import ConsentMissing, EnrollmentClosed
from voiceid.failpoint import reach
from voiceid.ports import Actor, Encoder, SpeechCheck
from voiceid.speech import too_noisy
from voiceid.store import biometrics, consents, ids, tables
from voiceid.store.biometrics import Owner
from voiceid.store.people import kind_of
from voiceid.store.store import Store
from voiceid.types import SAVE_RECORDINGS, VOICE_ID, HouseholdId, Pcm, PersonId, Purpose, Speech, Unusable
from voiceid.views import EnrollmentState, Progress, Scope, TakeResult
from voiceid.voiceprint import likeness

TAKES_NEEDED = 4
SPEECH_NEEDED_S = 8.0
TAKES_AT_MOST = 12

_E, _T = tables.enrollment, tables.take


@dataclass(frozen=True, slots=True, eq=False)
class KeptTake:
    """One accepted take, opened again."""

    id: str
    key_id: str
    speech_s: float
    views: NDArray[np.float32]
    """Shape (2, dim), rows of unit length: as it was heard, and as a telephone would carry it."""


class Takes:
    """Starts an enrollment, adds takes to it, abandons it."""

    def __init__(
        self, store: Store, purge: Purge, encoder: Encoder, check: SpeechCheck, bars: Bars, rule: policy.ConsentRule,
        minutes: int,
    ) -> None:
        self._store = store
        self._purge = purge
        self._encoder = encoder
        self._check = check
        self._bars = bars
        self._rule = rule
        self._span = timedelta(minutes=minutes)

    @property
    def needed(self) -> frozenset[Purpose]:
        """What a person must have agreed to before the first byte."""
        return needed_for_voice_id(self._rule)

    def start(self, actor: Actor, household: HouseholdId, person: PersonId, language: str) -> EnrollmentState:
        """Open an enrollment; an unfinished earlier one is erased.

        Raises: ConsentMissing; NotFound.
        """
        enrollment, done = ids.new_id(), []
        with self._store.database.writer(household) as tx:
            self.agreed(tx, household, person)
            now = self._store.now()
            mine = select(_E.c.enrollment_id).where(_E.c.household_id == household, _E.c.person_id == person)
            done = [self.begin_erasing(tx, actor, household, person, old, "enrollment replaced")
                    for old in tx.execute(mine).scalars().all()]
            tx.execute(_E.insert().values(
                household_id=household, enrollment_id=enrollment, person_id=person, language=language,
                encoder=self._encoder.model_id, created_at=now, expires_at=now + self._span,
            ))
            self._store.note(tx, actor, household, "enrollment started", person)
        for purge in done:
            self._purge.run(household, purge)
        progress = Progress(0, TAKES_NEEDED, 0.0, SPEECH_NEEDED_S)
        return EnrollmentState(
            enrollment, "open", prompts(enrollment, language), progress, needs(progress), now + self._span
        )

    def add_take(
        self, actor: Actor, household: HouseholdId, person: PersonId, enrollment: str, pcm: Pcm
    ) -> TakeResult:
        """Judge one take and keep it if it is good.

        Raises: ConsentMissing, EnrollmentClosed; nothing is then kept.
        """
        with self._store.database.reader() as tx:
            row = self.open(tx, household, person, enrollment)
            before = self.kept(tx, household, person, enrollment)
        heard = self._check(pcm)
        if isinstance(heard, Unusable):
            return self._refused(row, before, heard)
        if noise := too_noisy(heard.quality):
            return self._refused(row, before, noise)
        embedded = self._encoder.embed(heard)
        if self._bars.several_voices(embedded.turn, heard.quality):
            return self._several_voices(row, before, heard)
        views = take_views(self._encoder, heard, embedded)
        flac = to_flac(pcm) if self._rule == "recordings" else None
        with self._store.database.writer(household) as tx:
            self.open(tx, household, person, enrollment)
            before = self.kept(tx, household, person, enrollment)
            if len(before) >= TAKES_AT_MOST:
                raise EnrollmentClosed("this enrollment has all the takes it can hold: complete it")
            if self._is_another_voice(before, views):
                return self._other_voice(row, before, heard)
            self._keep(tx, Owner(household, person), enrollment, views, heard, pcm, flac)
            self._store.note(tx, actor, household, "take added", person)
            reach("take.before-commit")
        reach("take.after-commit")
        progress = progress_of([*(take.speech_s for take in before), heard.quality.speech_s])
        prompt = self._next_prompt(row, progress)
        return TakeResult(True, [], needs(progress), heard.quality, progress, prompt)

    def abandon(self, actor: Actor, household: HouseholdId, person: PersonId, enrollment: str) -> None:
        """Give up: takes and their recordings are erased.

        Raises: EnrollmentClosed.
        """
        with self._store.database.writer(household) as tx:
            mine = select(_E.c.enrollment_id).where(
                _E.c.household_id == household, _E.c.person_id == person, _E.c.enrollment_id == enrollment
            )
            if tx.execute(mine).first() is None:
                raise EnrollmentClosed
            purge = self.begin_erasing(tx, actor, household, person, enrollment, "enrollment abandoned")
        self._purge.run(household, purge)

    def agreed(self, tx: Connection, household: HouseholdId, person: PersonId) -> frozenset[Purpose]:
        """Read consent in this transaction.

        Raises: ConsentMissing, naming what is missing; NotFound.
        """
        kind_of(tx, household, person)
        yes = consents.agreed(tx, household, person, self._store.now())
        if missing := sorted(self.needed - yes):
            raise ConsentMissing(f"not agreed to: {', '.join(missing)}", missing=missing)
        return yes

    def open(self, tx: Connection, household: HouseholdId, person: PersonId, enrollment: str) -> Any:
        """The enrollment's row, if it may go on.

        Raises: ConsentMissing, EnrollmentClosed, NotFound.
        """
        self.agreed(tx, household, person)
        row = tx.execute(select(_E).where(
            _E.c.household_id == household, _E.c.enrollment_id == enrollment, _E.c.person_id == person
        )).first()
        if row is None or row.expires_at <= self._store.now() or row.encoder != self._encoder.model_id:
            raise EnrollmentClosed
        return row

    def kept(self, tx: Connection, household: HouseholdId, person: PersonId, enrollment: str) -> list[KeptTake]:
        """The accepted takes of an enrollment, oldest first."""
        mine = select(_T).where(
            _T.c.household_id == household, _T.c.person_id == person, _T.c.enrollment_id == enrollment
        ).where(tables.spared(_T))
        owner = Owner(household, person)
        found = []
        for row in tx.execute(mine.order_by(_T.c.created_at)):
            content = self._store.vault.open_json(owner.place("take", row.take_id), row.key_id, row.sealed)
            views = np.frombuffer(bytes.fromhex(content["views"]), dtype="<f4").reshape(2, -1)
            found.append(KeptTake(row.take_id, row.key_id, content["speech_s"], views))
        return found

    def begin_erasing(
        self, tx: Connection, actor: Actor, household: HouseholdId, person: PersonId, enrollment: str, why: str
    ) -> str:
        """Close an unfinished enrollment, mark it, its takes and their recordings for erasure; the purge's id."""
        self.shut(tx, household, enrollment)
        takes = select(_T.c.take_id).where(_T.c.household_id == household, _T.c.enrollment_id == enrollment)
        records = frozenset([enrollment, *tx.execute(takes).scalars()])
        stores = frozenset({"takes", "enrollments", "reviews", "recordings"})
        return self._purge.begin(tx, actor, Scope(household, person, stores, why, records))

    def shut(self, tx: Connection, household: HouseholdId, enrollment: str) -> None:
        """From this transaction on nothing can be added to an enrollment, even while its purge is pending."""
        mine = update(_E).where(_E.c.household_id == household, _E.c.enrollment_id == enrollment)
        tx.execute(mine.values(expires_at=self._store.now()))

    def _keep(
        self, tx: Connection, owner: Owner, enrollment: str, views: NDArray[np.float32], heard: Speech, pcm: Pcm,
        flac: bytes | None,
    ) -> None:
        take, now = ids.new_id(), self._store.now()
        content = {"views": biometrics.vector_bytes(views).hex(), "speech_s": heard.quality.speech_s}
        items = [(owner.place("take", take), json.dumps(content).encode())]
        saving = consents.states(tx, owner.household, owner.person).get(SAVE_RECORDINGS)
        retention = saving.retention if saving else None
        if flac is not None and retention != policy.KEEP_NOTHING:
            items.append((owner.place("recording", take), flac))
        sealed = self._store.vault.seal_all(items)
        biometrics.add_take(tx, owner, take, enrollment, sealed[0], now)
        if len(sealed) > 1:
            child = kind_of(tx, owner.household, owner.person) == "child"
            expires = policy.expiry(retention, now, child=child)
            biometrics.add_recording(tx, owner, take, "take", sealed[1], pcm.duration_s, now, expires)

    def _is_another_voice(self, before: list[KeptTake], views: NDArray[np.float32]) -> bool:
        """Whether this take is too unlike the pooled earlier ones to be the same person's."""
        if not before:
            return False
        return likeness(np.stack([take.views[0] for take in before]), views[:1]) < self._bars.same_voice

    def _several_voices(self, row: Any, before: list[KeptTake], heard: Speech) -> TakeResult:
        progress = progress_of([take.speech_s for take in before])
        said = "Two voices were heard. One person enrolls at a time: ask for quiet and read the sentence again."
        return TakeResult(False, ["several_voices"], said, heard.quality, progress, self._next_prompt(row, progress))

    def _other_voice(self, row: Any, before: list[KeptTake], heard: Speech) -> TakeResult:
        progress = progress_of([take.speech_s for take in before])
        said = "This does not sound like the takes before. One person enrolls at a time: try again, or start anew."
        return TakeResult(False, ["different_voice"], said, heard.quality, progress, self._next_prompt(row, progress))

    def _refused(self, row: Any, before: list[KeptTake], heard: Unusable) -> TakeResult:
        progress = progress_of([take.speech_s for take in before])
        prompt = self._next_prompt(row, progress)
        return TakeResult(False, [heard.fault], advice(heard), heard.quality, progress, prompt)

    def _next_prompt(self, row: Any, progress: Progress) -> str | None:
        sentences = prompts(row.enrollment_id, row.language)
        return None if progress.done else sentences[progress.takes % len(sentences)]


def needed_for_voice_id(rule: policy.ConsentRule) -> frozenset[Purpose]:
    """The purposes that open the gate."""
    return frozenset({VOICE_ID} if rule == "unbundled" else {SAVE_RECORDINGS, VOICE_ID})


def progress_of(speech_s: list[float]) -> Progress:
    """How far these takes carry."""
    return Progress(len(speech_s), TAKES_NEEDED, round(sum(speech_s), 2), SPEECH_NEEDED_S)


def needs(progress: Progress) -> str:
    """What to do next, one sentence."""
    takes, speech_s = progress.takes_needed - progress.takes, progress.speech_needed_s - progress.speech_s
    if takes > 0:
        return f"Read the next sentence; {takes} more to go."
    if speech_s > 0:
        return f"Read one more sentence; {speech_s:.1f} s of speech more."
    return "That is enough: complete the enrollment."


def advice(heard: Unusable) -> str:
    """What was wrong, and what would help."""
    match heard.fault:
        case "no_speech":
            return "No speech was heard. Is the microphone on?"
        case "too_short":
            return f"Please read the whole sentence: {heard.measured:.1f} s of speech, {heard.needed:.1f} s needed."
        case "too_quiet":
            return f"Too quiet ({heard.measured:.0f} dB, {heard.needed:.0f} dB needed): come closer."
        case "too_noisy":
            return f"Too noisy ({heard.measured:.0f} dB over noise, {heard.needed:.0f} needed): find a quiet spot."
        case "clipped":
            return "Too loud, the recording is distorted: step back or lower the microphone's level."


def prompts(enrollment: str, language: str) -> list[str]:
    """The sentences of one enrollment, in an order of its own, so that a recording of another one does not fit."""
    sentences = list(_sentences(policy.language_of(language)))
    random.Random(enrollment).shuffle(sentences)
    return sentences


@lru_cache
def _sentences(language: str) -> tuple[str, ...]:
    file = resources.files("voiceid").joinpath(f"data/prompts/{language}.json")
    return tuple(json.loads(file.read_text(encoding="utf-8")))


def expired(tx: Connection, now: datetime) -> list[Any]:
    """Unfinished enrollments whose time has run out, in every household."""
    return list(tx.execute(select(_E).where(_E.c.expires_at <= now)).all())
