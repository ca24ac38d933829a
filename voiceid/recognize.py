"""The whole way, from sound to answer, as one short function."""

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import NamedTuple

from voiceid.calibration import Bars
from voiceid.consent import Permit, permit
from voiceid.decide import decide, speaks_alone
from voiceid.encode import sides_of
from voiceid.errors import NotEnrolled, VoiceIdError
from voiceid.match import Indexes
from voiceid.ports import (
    Actor,
    ConsentRecords,
    Encoder,
    Gate,
    Heard,
    Keeper,
    Profiles,
    Pseudonyms,
    Request,
    SpeechCheck,
)
from voiceid.respond import Responder
from voiceid.speech import is_narrow, over_telephone, too_noisy
from voiceid.types import Decision, HouseholdId, PersonId, Profile, Purpose, Reason, Speech, Unusable, Verdict
from voiceid.views import Answer, PersonView, Verification


@dataclass(frozen=True, slots=True)
class Guess:
    """Somebody named before they have finished speaking."""

    person: PersonId
    view: PersonView
    confidence: float
    certain: bool
    """As certain as storing would need."""


class _Compared(NamedTuple):
    """What became of one clip."""

    decision: Decision
    people: Collection[PersonId]
    """Who was compared with it."""
    heard: Heard | None
    """None: the sound could not be judged."""
    allowed: Permit | None = None
    """By whose leave."""


_TELLS_NOTHING = frozenset({"device", "skill"})
_ABOUT_RECORDS = frozenset({"nobody_enrolled", "consent_withheld"})


@dataclass(frozen=True)
class Recognizer:
    """Names the speaker, among those who agreed to be recognized; serves everybody."""

    check: SpeechCheck
    encoder: Encoder
    consents: ConsentRecords
    indexes: Indexes
    bars: Bars
    profiles: Profiles
    responder: Responder
    keeper: Keeper
    pseudonyms: Pseudonyms
    purposes: frozenset[Purpose]
    """What a person must have granted to be found."""

    def recognize(
        self, request: Request, household: HouseholdId, actor: Actor, *, explain: bool = False,
        named: PersonId | None = None,
    ) -> Answer:
        """Answer one utterance. Consent is read after encoding, and again before a profile is used.

        `named` is whom this sound was already taken for while it came in: the answer is theirs or nobody's.
        """
        began = time.perf_counter()
        heard = self.check(request.pcm)
        compared = self._unusable(heard) if isinstance(heard, Unusable) else self._compare(heard, household)
        decision = compared.decision
        doubt = heard if isinstance(heard, Unusable) else too_noisy(heard.quality)
        if doubt and decision.person is None and decision.reason not in {"ambiguous", "several_voices"}:
            decision = replace(decision, verdict=Verdict.UNSURE, reason=doubt.reason)
        if named is not None and decision.person not in {None, named}:
            decision = replace(decision, verdict=Verdict.UNSURE, reason="ambiguous", person=None, storable=False)
        profile = self._profile(household, decision)
        if profile is None and decision.person is not None:
            decision = replace(decision, verdict=Verdict.UNSURE, reason="unknown_voice", person=None, storable=False)
        view = self._view(profile, household, actor)
        said = self.responder.say(household, request.intent, profile if view else None, request.locale)
        stored = self.keeper.keep(actor, household, request, decision, said, compared.heard) if view else False
        answer = Answer(
            mode="personalized" if view else "anonymous",
            reason=decision.reason if view or decision.person is None else "unknown_voice",
            person=view,
            confidence=round(decision.confidence, 4) if view else 0.0,
            speech_s=round(heard.quality.speech_s, 2),
            response=said,
            stored=stored,
            encoder=self.encoder.model_id,
            measured=doubt.measured if doubt and decision.reason == doubt.reason else None,
            needed=doubt.needed if doubt and decision.reason == doubt.reason else None,
        )
        if actor.role in _TELLS_NOTHING:
            return replace(answer, reason="unknown_voice") if answer.reason in _ABOUT_RECORDS else answer
        return _explained(answer, decision, began) if explain else answer

    def guess(self, speech: Speech, household: HouseholdId, actor: Actor) -> Guess | None:
        """Name the speaker of speech that is still going on, if that is more certain than an answer must be."""
        decision = self._compare(speech, household, ends=False).decision
        if decision.person is None:
            return None
        view = self.view(decision.person, household, actor)
        return Guess(decision.person, view, round(decision.confidence, 4), decision.storable) if view else None

    def view(self, person: PersonId, household: HouseholdId, actor: Actor) -> PersonView | None:
        """This person as the caller may know them, if they still agree to be named; consent is read now."""
        if person not in permit(self.consents.gate(household), self.purposes).people:
            return None
        try:
            return self._view(self.profiles.profile(household, person), household, actor)
        except VoiceIdError:
            return None  # gone or unreadable in the meantime: anonymous

    def verify(self, request: Request, household: HouseholdId, person: PersonId) -> Verification:
        """Whether this one person is speaking: the same bars, and nobody else is named. A voice is not a password.

        Raises: NotEnrolled.
        """
        heard = self.check(request.pcm)
        if isinstance(heard, Unusable):
            return Verification(accepted=False, confidence=0.0, reason=heard.reason)
        compared = self._compare(heard, household)
        decision, people = compared.decision, compared.people
        if person not in people or not compared.allowed or person not in compared.allowed.people:
            raise NotEnrolled
        accepted = decision.person == person
        reason: Reason = "unknown_voice" if decision.person is not None and not accepted else decision.reason
        return Verification(accepted, round(decision.confidence, 4) if accepted else 0.0, reason)

    def _unusable(self, heard: Unusable) -> _Compared:
        return _Compared(Decision(Verdict.UNSURE, heard.reason, None, 0.0), (), None)

    def _compare(self, speech: Speech, household: HouseholdId, *, ends: bool = True) -> _Compared:
        """Decide on one clip, as it was heard; and who was compared with it.

        Where nobody is named and somebody was enrolled over a telephone alone, all are compared once more, as a
        telephone would carry them. Consent is read after each encoding.
        """
        narrow = is_narrow(speech.quality)
        compared = self._match(speech, household, narrow=narrow, ends=ends)
        if compared.decision.reason == "unknown_voice" and self.bars.narrow and not narrow:
            if compared.allowed is None or not self.indexes.by_telephone(compared.allowed):
                return compared
            return self._match(over_telephone(speech), household, narrow=True, ends=ends)
        return compared

    def _match(self, speech: Speech, household: HouseholdId, *, narrow: bool, ends: bool) -> _Compared:
        by_telephone = narrow and self.bars.narrow is not None
        bars = self.bars.narrow if narrow and self.bars.narrow else self.bars
        bars = bars if ends else bars.while_speaking()
        probe = self.encoder.embed(speech)
        doubted = bars.doubts(probe.turn, speech.quality)
        sides = sides_of(self.encoder, speech, probe.turn_at_s) if doubted else []
        gate = self.consents.gate(household)
        allowed = permit(gate, self.purposes)
        matches = self.indexes.nearest(probe, among=allowed, narrow=by_telephone)
        decision = decide(matches, speech.quality, bars) if matches else _nobody(gate)
        if decision.person is not None:
            heard_there = [(self.indexes.nearest(side, among=allowed, narrow=by_telephone), q) for side, q in sides]
            several = not speaks_alone(decision.person, heard_there, bars)
        else:
            several = bars.several_voices(probe.turn, speech.quality)
        if several:
            decision = Decision(Verdict.UNSURE, "several_voices", None, 0.0)
        heard = Heard(speech, probe, gate.epoch, narrow)
        return _Compared(decision, matches.people, heard, allowed)

    def _profile(self, household: HouseholdId, decision: Decision) -> Profile | None:
        """The named person's profile, if they still agree to be named."""
        if decision.person is None:
            return None
        if decision.person not in permit(self.consents.gate(household), self.purposes).people:
            return None
        try:
            return self.profiles.profile(household, decision.person)
        except VoiceIdError:
            return None  # gone or unreadable in the meantime: anonymous

    def _view(self, profile: Profile | None, household: HouseholdId, actor: Actor) -> PersonView | None:
        if profile is None:
            return None
        if actor.skill is None:
            return PersonView(profile.person, profile.display_name, profile.preferences)
        try:
            known_as = self.pseudonyms.pseudonym(household, profile.person, actor.skill)
        except VoiceIdError:
            return None  # a name that cannot be read or kept names nobody
        return PersonView(known_as, profile.display_name, profile.preferences) if known_as else None


def _nobody(gate: Gate) -> Decision:
    """Nobody can be found here: decided from the records, not by matching."""
    reason: Reason = "consent_withheld" if gate.withheld else "nobody_enrolled"
    return Decision(Verdict.STRANGER, reason, None, 0.0)


def _explained(answer: Answer, decision: Decision, began: float) -> Answer:
    took = {"total": round((time.perf_counter() - began) * 1000, 2)}
    return replace(answer, score=decision.score, threshold=decision.threshold, timing_ms=took)
