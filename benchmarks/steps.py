"""What each step of a recognize request costs beside the encoder, in processor time, with the service's own allocator.

    python -m benchmarks.steps

Processor time does not count waiting; what others do to the machine's caches it does.
"""

import os

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # as in a whole run

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks import voices
from benchmarks.server import Household, Server
from voiceid.consent import permit
from voiceid.decode import decode
from voiceid.ports import Request
from voiceid.service import wiring
from voiceid.service.allocator import overwrite_freed_memory
from voiceid.service.services import Services
from voiceid.settings import Settings
from voiceid.speech import judge
from voiceid.types import HouseholdId, Speech

_TIMES = 100
_SPEECH_S = 3
_KIND = "audio/wav"


def steps(services: Services, token: str, household: HouseholdId) -> Iterator[tuple[str, Callable[[], object]]]:
    """Name and call of each step, in the order of a request."""
    recognizer, sound = services.recognizer, voices.wav(voices.seconds_of("ada", _SPEECH_S))
    pcm = decode(sound, _KIND, max_s=60)
    probabilities, heard = services.voice_activity(pcm.samples), recognizer.check(pcm)
    actor = services.tokens.who(token)
    if not isinstance(heard, Speech) or actor is None:
        raise TypeError("not the installation that was made here")
    probe, gate = recognizer.encoder.embed(heard), recognizer.consents.gate(household)
    allowed = permit(gate, recognizer.purposes)
    (ada,) = allowed.people
    yield "whose token", partial(services.tokens.who, token)
    yield "decode", partial(decode, sound, _KIND, max_s=60)
    yield "voice activity", partial(services.voice_activity, pcm.samples)
    yield "judge the sound", partial(judge, pcm, probabilities)
    yield "encode, with features", partial(recognizer.encoder.embed, heard)
    yield "consents", partial(recognizer.consents.gate, household)
    yield "compare", partial(recognizer.indexes.nearest, probe, among=allowed)
    yield "profile", partial(recognizer.profiles.profile, household, ada)
    yield "what to say", partial(recognizer.responder.say, household, None, None, None)
    yield "all but the token", partial(recognizer.recognize, Request(pcm), household, actor)


def _taken_ms(call: Callable[[], object]) -> tuple[float, float]:
    """Least and median."""
    taken = []
    for _ in range(_TIMES):
        began = time.thread_time()
        call()
        taken.append(time.thread_time() - began)
    return 1000 * min(taken), 1000 * statistics.median(taken)


def main() -> None:
    """Enroll somebody through the service, then take its steps one by one."""
    overwrite_freed_memory()
    with tempfile.TemporaryDirectory(prefix="voiceid-steps-") as scratch:
        home = Path(scratch)
        with Server(home) as server:
            Household(server).enroll("ada", "none")
            token, household = server.owner_token or "", HouseholdId(server.household or "")
        services = wiring.build(Settings(data_dir=home / "data", keys_dir=home / "keys"))
        try:
            for name, call in steps(services, token, household):
                least, median = _taken_ms(call)
                print(f"{least:8.2f} ms at least, {median:8.2f} in the middle: {name}")
        finally:
            services.close()


if __name__ == "__main__":
    main()
