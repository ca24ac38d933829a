"""From accepted takes to the voiceprint that stands for a person: in one transaction, or not at all."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from enrollment.purge import Purge
from enrollment.take import SPEECH_NEEDED_S, TAKES_NEEDED, Takes, progress_of
from voiceid.calibration import Bars
from voiceid.consent import permit
from voiceid.errors import NotEnoughTakes, VoiceAlreadyEnrolled
from voiceid.failpoint import reach
from voiceid.ports import SYSTEM, Actor, Encoder, Voiceprints
from voiceid.store import biometrics, chain, ids, tables
from voiceid.store.biometrics import Owner
from voiceid.store.consents import ConsentBook
from voiceid.store.store import Store
from voiceid.types import HouseholdId, Pcm, PersonId, Quality, Voiceprint
from voiceid.views import EnrollmentState, Scope, TakeResult, VoiceprintView
from voiceid.voiceprint import cohesion, likeness


class Enroller:
    """`Enrollments`: the takes, and what is made of them."""

    def __init__(
        self, store: Store, purge: Purge, encoder: Encoder, takes: Takes, voiceprints: Voiceprints, bars: Bars
    ) -> None:
        self._store = store
        self._voiceprints = voiceprints
        self._bars = bars
        self._purge = purge
        self._encoder = encoder
        self._takes = takes

    def start(self, actor: Actor, household: HouseholdId, person: PersonId, language: str) -> EnrollmentState:
        return self._takes.start(actor, household, person, language)

    def add_take(
        self, actor: Actor, household: HouseholdId, person: PersonId, enrollment: str, pcm: Pcm
    ) -> TakeResult:
        return self._takes.add_take(actor, household, person, enrollment, pcm)

    def abandon(self, actor: Actor, household: HouseholdId, person: PersonId, enrollment: str) -> None:
        self._takes.abandon(actor, household, person, enrollment)

    def complete(self, actor: Actor, household: HouseholdId, person: PersonId, enrollment: str) -> VoiceprintView:
        """Make the voiceprint, replace an earlier one, erase the takes. Recordings stay as far as they were agreed to.

        Raises: NotEnoughTakes, VoiceAlreadyEnrolled, ConsentMissing, EnrollmentClosed; it then stays as it was.
        """
        owner, voiceprint = Owner(household, person), ids.new_id()
        others = self._others(household, person)
        with self._store.database.writer(household) as tx:
            self._takes.open(tx, household, person, enrollment)
            kept = self._takes.kept(tx, household, person, enrollment)
            progress = progress_of([take.speech_s for take in kept])
            if not progress.done:
                raise NotEnoughTakes(
                    f"{progress.takes} takes with {progress.speech_s:.1f} s of speech; "
                    f"{TAKES_NEEDED} takes and {SPEECH_NEEDED_S:.0f} s are needed",
                    takes=progress.takes, takes_needed=TAKES_NEEDED,
                    speech_s=progress.speech_s, speech_needed_s=SPEECH_NEEDED_S,
                )
            views = np.stack([take.views for take in kept])
            if any(likeness(views[:, 0], other.takes) >= self._bars.same_person for other in others):
                raise VoiceAlreadyEnrolled
            old = tables.voiceprint
            replaced = tx.execute(select(old.c.voiceprint_id).where(
                old.c.household_id == household, old.c.person_id == person
            )).scalars().all()
            spent = frozenset([enrollment, *(take.id for take in kept), *replaced])
            stores = frozenset({"takes", "enrollments", "voiceprints"})
            self._takes.shut(tx, household, enrollment)
            purge = self._purge.begin(tx, actor, Scope(household, person, stores, "enrollment completed", spent))
            now, alike = self._store.now(), round(cohesion(views[:, 0]), 4)
            sealed = self._store.vault.seal(owner.place("voiceprint", voiceprint), biometrics.vector_bytes(views))
            model = self._encoder.model_id
            biometrics.add_voiceprint(tx, owner, voiceprint, model, sealed, len(kept), alike, now)
            chain.append(tx, tables.ledger, household, {"at": now, "event": "enrolled", "person_id": person})
            self._store.note(tx, actor, household, "enrolled", person)
            for close in self._close(views[:, 0], others):
                for told in (person, close):
                    self._store.note(tx, SYSTEM, household, "close voice", told)
            reach("complete.before-commit")
        reach("complete.after-commit")
        self._purge.run(household, purge)
        return VoiceprintView(voiceprint, model, len(kept), alike, now)

    def _close(self, takes: NDArray[np.float32], others: Sequence[Voiceprint]) -> list[PersonId]:
        """Whose whole voiceprint would pass for this one in a household of the two: both are told, nobody else.

        Between such voices recognition answers `ambiguous` more often; more takes, or names said at the start, help.
        """
        long = Quality(SPEECH_NEEDED_S, SPEECH_NEEDED_S, 0.0, 60.0, 0.0)
        bar = self._bars.threshold(self._bars.name, 2, long)
        projected = self._bars.projected
        return [one.person for one in others if likeness(projected(takes), projected(one.takes)) >= bar]

    def _others(self, household: HouseholdId, person: PersonId) -> list[Voiceprint]:
        """The voiceprints of everybody else who agrees to be found here."""
        allowed = permit(ConsentBook(self._store).gate(household), self._takes.needed).people - {person}
        return list(self._voiceprints.of(household, self._encoder.model_id, allowed))
