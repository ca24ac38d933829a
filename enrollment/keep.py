"""What a recognized request may leave behind: sound, text, action, a changing voice, each as far as they agreed."""

import json
import logging
from typing import Any

from sqlalchemy import Connection

from enrollment.adapt import Adapter
from voiceid import policy
from voiceid.decode import to_flac
from voiceid.errors import VoiceIdError
from voiceid.ports import Actor, Heard, Request
from voiceid.store import biometrics, consents, ids
from voiceid.store.biometrics import Owner
from voiceid.store.people import kind_of
from voiceid.store.store import Store, epoch_of, named
from voiceid.types import SAVE_RECORDINGS, TRANSCRIPTS, ConsentState, Decision, HouseholdId, Purpose
from voiceid.views import ResponseText

_log = logging.getLogger(__name__)


class RequestKeeper:
    """`Keeper`: consent is read again in the transaction that writes; without it nothing is written."""

    def __init__(self, store: Store, adapter: Adapter) -> None:
        self._store = store
        self._adapter = adapter

    def keep(
        self, actor: Actor, household: HouseholdId, request: Request, decision: Decision, said: ResponseText,
        heard: Heard | None = None,
    ) -> bool:
        """Store what may be stored; True if anything was. A failure keeps nothing and costs nobody their answer."""
        if decision.person is None or not decision.storable:
            return False
        owner = Owner(household, decision.person)
        try:
            return self._keep(actor, owner, request, decision, said, heard)
        except VoiceIdError:
            _log.exception("nothing of a request was kept")
            return False

    def _keep(
        self, actor: Actor, owner: Owner, request: Request, decision: Decision, said: ResponseText,
        heard: Heard | None,
    ) -> bool:
        with self._store.database.reader() as tx:
            keeps = bool(self._kept_purposes(tx, owner, heard))
        addition = self._adapter.consider(owner, decision, heard)
        if not keeps and addition is None:
            return self._count_use(owner)
        flac, interaction, spent = to_flac(request.pcm) if keeps else b"", ids.new_id(), None
        action = {
            "by": named(actor), "intent": request.intent, "response": said.text, "confidence": decision.confidence,
        }
        with self._store.database.writer(owner.household) as tx:
            yes = self._kept_purposes(tx, owner, heard) if keeps else {}
            if yes:
                self._write(tx, owner, interaction, yes, request, action, flac)
            if addition is not None:
                spent = self._adapter.add(tx, owner, addition, interaction)
            if yes or spent is not None:
                biometrics.used_today(tx, owner, self._store.now())
        if spent is not None:
            self._adapter.finish(owner, spent)
        return bool(yes)

    def _kept_purposes(self, tx: Connection, owner: Owner, heard: Heard | None) -> dict[Purpose, ConsentState]:
        """What may be kept, and nothing once the gate is shut: they are not to be named any more.

        Nor once anything has changed about who may be found: a new yes does not cover what was said before it.
        """
        if heard is not None and heard.epoch != epoch_of(tx, owner.household):
            return {}
        now = self._store.now()
        states = consents.states(tx, owner.household, owner.person)
        if not all(purpose in states and states[purpose].agreed(now) for purpose in self._adapter.gate):
            return {}
        return {
            purpose: state
            for purpose in (SAVE_RECORDINGS, TRANSCRIPTS)
            if (state := states.get(purpose)) and state.agreed(now) and state.retention != policy.KEEP_NOTHING
        }

    def _write(
        self, tx: Connection, owner: Owner, interaction: str, yes: dict[Purpose, ConsentState], request: Request,
        action: dict[str, Any], flac: bytes,
    ) -> None:
        """Sound only with `save_recordings`, text only with `transcripts`, the action with either."""
        now, recording = self._store.now(), ids.new_id()
        child = kind_of(tx, owner.household, owner.person) == "child"
        ends = {purpose: policy.expiry(state.retention, now, child=child) for purpose, state in yes.items()}
        items = [(owner.place("interaction", interaction), json.dumps(action).encode())]
        if SAVE_RECORDINGS in yes:
            items.append((owner.place("recording", recording), flac))
        if TRANSCRIPTS in yes and request.transcript:
            items.append((owner.place("transcript", interaction), request.transcript.encode()))
        sealed = dict(zip((place.kind for place, _ in items), self._store.vault.seal_all(items), strict=True))
        if "recording" in sealed:
            seconds = request.pcm.duration_s
            end = ends[SAVE_RECORDINGS]
            biometrics.add_recording(tx, owner, recording, "utterance", sealed["recording"], seconds, now, end)
        if "transcript" in sealed:
            biometrics.add_transcript(tx, owner, interaction, sealed["transcript"], now, ends[TRANSCRIPTS])
        last = None if None in ends.values() else max(end for end in ends.values() if end is not None)
        heard = recording if "recording" in sealed else None
        biometrics.add_interaction(tx, owner, interaction, sealed["interaction"], heard, now, last)

    def _count_use(self, owner: Owner) -> bool:
        """Set the idle clock of the voiceprint back, once a day; nothing else is written."""
        now = self._store.now()
        with self._store.database.reader() as tx:
            day = biometrics.last_used(tx, owner)
        if day is not None and day.date() < now.date():
            with self._store.database.writer(owner.household) as tx:
                biometrics.used_today(tx, owner, now)
        return False
