"""How long one decision takes, step by step, on this machine."""

import statistics
import time
from collections.abc import Sequence

import numpy as np

from voiceid.calibration import Bars
from voiceid.decide import decide
from voiceid.decode import decode
from voiceid.evaluate.corpora import CONTENT_TYPES, Speaker
from voiceid.ports import Encoder, Matches, SpeechCheck
from voiceid.types import PersonId, Speech

REQUESTS = 12
_LONGEST_S = 60.0
_HOUSEHOLD = 4


def timing_ms(people: Sequence[Speaker], encoder: Encoder, check: SpeechCheck, bars: Bars) -> dict[str, float]:
    """Median milliseconds from the bytes of a clip to the decision in a household of four, over a few clips."""
    takes: dict[str, list[float]] = {"decode": [], "speech_check": [], "embed": [], "decide": [], "all": []}
    length_s = []
    for person in people[:: max(1, len(people) // REQUESTS)]:
        content, kind = person.clips[0].read_bytes(), CONTENT_TYPES[person.clips[0].suffix.lower()]
        marks = [time.perf_counter()]
        pcm = decode(content, kind, max_s=_LONGEST_S)
        marks.append(time.perf_counter())
        heard = check(pcm)
        marks.append(time.perf_counter())
        if not isinstance(heard, Speech):
            continue
        vector = bars.projected(encoder.embed(heard).vector[np.newaxis])[0]
        marks.append(time.perf_counter())
        others = np.eye(_HOUSEHOLD, encoder.dim) @ vector
        decide(Matches.of({PersonId(str(i)): float(x) for i, x in enumerate(others)}), heard.quality, bars)
        marks.append(time.perf_counter())
        for name, first, last in zip(takes, [*range(4), 0], [*range(1, 5), 4], strict=True):
            takes[name].append(1000 * (marks[last] - marks[first]))
        length_s.append(heard.quality.speech_s)
    if not length_s:
        return {}
    found = {name: round(statistics.median(times), 3) for name, times in takes.items()}
    return {**found, "net_speech_s": round(statistics.median(length_s), 2), "clips": len(length_s)}
