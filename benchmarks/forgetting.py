"""What it takes to be forgotten, step by step, in a database that holds many other households."""

import cProfile
import pstats
from collections.abc import Iterator
from datetime import timedelta

import numpy as np

from benchmarks import voices
from benchmarks.bench import Bench
from benchmarks.machine import Syncing, timed
from benchmarks.rows import Goal, Row, paired, plain_row, timed_row
from benchmarks.scale import fill
from voiceid import policy
from voiceid.decode import to_flac
from voiceid.ports import Actor
from voiceid.service import wiring
from voiceid.service.services import Services
from voiceid.settings import Settings
from voiceid.store import biometrics, ids
from voiceid.store.biometrics import Owner
from voiceid.types import SAMPLE_RATE_HZ, SAVE_RECORDINGS, TRANSCRIPTS, VOICE_ID, HouseholdId, Pcm, PersonId
from voiceid.views import ConsentDecision

_HOUSEHOLDS, _HOUSEHOLDS_QUICK = 10_000, 500
_BATCH = 2500
_EMBEDDINGS, _RECORDINGS, _RECORDING_S = 30, 200, 5
_ALL = (SAVE_RECORDINGS, VOICE_ID, TRANSCRIPTS)
_SYNCS = 4
"""The gate, the tombstone, the keys, the rows: a withdrawal cannot wait for the disk less often."""
_STEPS = {
    "bury the tombstone": ("keys.py", "bury"),
    "destroy the keys": ("keys.py", "destroy"),
    "erase the rows and recount": ("purge.py", "_erase"),
    "clean the memory": ("memory.py", "let_go"),
}
_WHOLE = ("revoke.py", "withdraw")
_AFTER_THE_GATE = ("purge.py", "run")


def withdrawal(bench: Bench) -> Iterator[Row]:
    """Withdraw everything of somebody with 30 embeddings and 200 recordings of 5 s, again and again."""
    folder = bench.folder("withdrawal")
    count = _HOUSEHOLDS_QUICK if bench.quick else _HOUSEHOLDS
    services = wiring.build(Settings(data_dir=folder / "data", keys_dir=folder / "keys"))
    try:
        _surround(services, count)
        home = _Home(services)
        profile = cProfile.Profile()
        taken, syncs = [], []
        with Syncing(folder) as sync:
            for number in range(4 if bench.quick else 10):
                home.gather()
                if number % 2:
                    profile.runcall(home.withdraw)
                else:
                    taken.append(timed(home.withdraw))
                    syncs.append(sum(timed(sync) for _ in range(_SYNCS)))
        peer = f"{_SYNCS} syncs of a page to the same disk"
        what = f"withdrawal of {_EMBEDDINGS} embeddings and {_RECORDINGS} recordings among {count:,} households"
        yield timed_row(what, paired(taken, syncs), peer, Goal("figure", 1000.0), quiet=bench.noise.quiet)
        yield from _shares(profile)
    finally:
        services.close()


def _surround(services: Services, count: int) -> None:
    """Other households, four members each, enrolled."""
    others = [HouseholdId(ids.new_id()) for _ in range(count)]
    for at in range(0, count, _BATCH):
        fill(services.store, others[at : at + _BATCH])


class _Home:
    """One person of whom much is kept, and then nothing."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._household: HouseholdId = services.households.create("Home", "en").id
        owner = Actor("owner", "benchmark", self._household)
        self._person = PersonId(services.people.create(owner, self._household, "Ada", "adult", None, []).id)
        self._me = Actor("person", "benchmark", self._household, self._person)
        sound = np.resize(voices.spoken("ada"), _RECORDING_S * SAMPLE_RATE_HZ).astype(np.float32)
        self._flac = to_flac(Pcm(sound))

    def gather(self) -> None:
        """Agree to everything; keep a voiceprint, recordings, and what was said and done in each."""
        for purpose in _ALL:
            word = ConsentDecision("granted", policy.version(), "en", "screen")
            self._services.consents.put(self._me, self._household, self._person, purpose, word)
        store, owner = self._services.store, Owner(self._household, self._person)
        vectors = np.random.default_rng(5).standard_normal((_EMBEDDINGS, 192)).astype(np.float32)
        names = [(ids.new_id(), ids.new_id()) for _ in range(_RECORDINGS)]
        with store.database.writer(self._household) as tx:
            now = store.now()
            print_id = ids.new_id()
            sealed = store.vault.seal(owner.place("voiceprint", print_id), biometrics.vector_bytes(vectors))
            model = self._services.recognizer.encoder.model_id
            biometrics.add_voiceprint(tx, owner, print_id, model, sealed, _EMBEDDINGS, 0.9, now)
            kinds = ("recording", "interaction", "transcript")
            contents = (self._flac, b'{"intent": "weather", "response": "Rain.", "confidence": 0.99}', b"will it rain")
            for recording, said in names:
                places = [owner.place(kind, recording if kind == "recording" else said) for kind in kinds]
                sound, action, text = store.vault.seal_all(list(zip(places, contents, strict=True)))
                until = now + timedelta(days=548)
                biometrics.add_recording(tx, owner, recording, "utterance", sound, _RECORDING_S, now, until)
                biometrics.add_interaction(tx, owner, said, action, recording, now, until)
                biometrics.add_transcript(tx, owner, said, text, now, until)

    def withdraw(self) -> None:
        """Take everything back."""
        receipt = self._services.forgetting.withdraw(self._me, self._household, self._person, _ALL)
        found = {store.store: store.found for store in receipt.stores}
        if receipt.state != "complete" or found["recordings"] != _RECORDINGS:
            raise RuntimeError("the withdrawal is not complete")


def _shares(profile: cProfile.Profile) -> Iterator[Row]:
    """The part of each step in the time under the profiler."""
    seen = pstats.Stats(profile).stats  # type: ignore[attr-defined]  # missing in its stubs
    spent = {(where[0].rpartition("/")[2], where[2]): figures[3] for where, figures in seen.items()}
    whole = spent[_WHOLE]
    parts = {"shut the gate": whole - spent[_AFTER_THE_GATE]} | {name: spent[at] for name, at in _STEPS.items()}
    parts["the rest"] = whole - sum(parts.values())
    for name, seconds in parts.items():
        yield plain_row(f"withdrawal: {name}", 100 * seconds / whole, "%", "the whole withdrawal", 100.0)
