"""Pcm -> Speech: where somebody speaks, how loud, over what noise; or the reason why it cannot be judged.

The bars below were found on the `dev` speakers of the recordings, four clips enrolled and four asked, at the score that
lets 0.1 % of strangers pass: `python tools/find_speech_bars.py`. None of what they refuse let more strangers pass; they
say "speak longer" or "come closer" where "unknown voice" would be of no help.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from voiceid.onnx import Network
from voiceid.types import SAMPLE_RATE_HZ, Pcm, Quality, Samples, Speech, Unusable

LEAST_SPEECH_S = 0.8
"""Net speech. Members missed: 60 % at 0.3 s, 35 % at 0.5 s, 19 % at 0.75 s, 10 % at 1 s, 2 % at 1.25 s."""
LEAST_SNR_DB = 3.0
"""Noise in the pauses half as strong as voice and noise together, so as strong as the voice. Members missed below: 33 %."""
LEAST_LEVEL_DBFS = -60.0
"""Members missed: none at -60, 41 % at -70, where most of the speech is not found at all."""
MOST_CLIPPING = 0.1
"""Members missed: 5 % at 0.05, 12 % at 0.1, 41 % at 0.2, all at 0.4."""
SILENT_DBFS = -50.0
"""A clip without speech is noise above this, silence below."""

_FRAME = 512
"""Samples that Silero judges at once: 32 ms."""
_CONTEXT = 64
"""Samples of the frame before, which it wants to see again."""
_BLOCK = 512
"""Frames per call, 16 s: bounds what a long clip needs."""
_ENTER, _LEAVE = 0.5, 0.35
"""Probability at which speech begins, and below which it ends: Silero's own advice."""
_GAP = 4
"""Frames below `_LEAVE` that make a pause; the closure of a consonant is shorter."""
_SHORTEST = 4
"""Frames of a stretch; below that it is a click."""
_MARGIN = SAMPLE_RATE_HZ * 3 // 10
"""Kept before and after each stretch. EER over pairs of clips: 1.44 % with none, 1.21 % with 0.1 s, 0.96 % with 0.3 s,
1.10 % uncut (so_), where soft beginnings and ends of words are kept."""
_STEP = SAMPLE_RATE_HZ // 100
"""Level is measured every 10 ms."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Somebody speaks from sample `start` up to, not including, sample `stop`."""

    start: int
    stop: int


class VoiceActivity:
    """Silero VAD over whole clips. Shared by all threads.

    Source: the card in `encode/models/silero_vad.md`.
    """

    def __init__(self, network: Network) -> None:
        self._network = network

    def __call__(self, samples: Samples, /) -> NDArray[np.float32]:
        """Probability of speech, 0..1, for each frame of 512 samples.

        Shapes: (n,) -> (ceil(n / 512),); what is missing of the last frame counts as silence.
        """
        count = -(-len(samples) // _FRAME)
        padded = np.zeros(_CONTEXT + max(1, count) * _FRAME, dtype=np.float32)
        padded[_CONTEXT : _CONTEXT + len(samples)] = samples
        frames = sliding_window_view(padded, _CONTEXT + _FRAME)[::_FRAME]
        hidden = cell = np.zeros((1, 1, 128), dtype=np.float32)
        found = [np.zeros(0, dtype=np.float32)]
        for at in range(0, count, _BLOCK):
            block = np.ascontiguousarray(frames[at : at + _BLOCK])
            probabilities, hidden, cell = self._network.run({"input": block, "h": hidden, "c": cell})
            found.append(probabilities)
        return np.concatenate(found)


class SpeechCheck:
    """Sound in; speech that can be judged out, or the reason why not. Built once, shared by all threads."""

    def __init__(self, voice_activity: VoiceActivity) -> None:
        self._voice_activity = voice_activity

    @classmethod
    def shipped(cls) -> "SpeechCheck":
        """With the network that comes with the package.

        Raises: ModelDamaged, when it is not the published one.
        """
        return cls(VoiceActivity(Network.shipped("silero_vad")))

    def __call__(self, pcm: Pcm, /) -> Speech | Unusable:
        """Find the speech, measure it, judge whether it can be judged."""
        stretches = find_stretches(self._voice_activity(pcm.samples), len(pcm.samples))
        quality = measure(pcm, stretches)
        fault = _without_speech(pcm, quality) if not stretches else _fault(quality)
        return fault or Speech(_cut(pcm.samples, stretches), quality)


def find_stretches(probabilities: NDArray[np.float32], length: int) -> list[Stretch]:
    """Where speech begins and ends in a clip of `length` samples; short gaps are bridged, clicks left out."""
    stretches: list[Stretch] = []
    start = last = -1
    for frame, probability in enumerate([*probabilities.tolist(), *[0.0] * _GAP]):
        if probability >= (_ENTER if start < 0 else _LEAVE):
            start, last = (frame if start < 0 else start), frame
        elif start >= 0 and frame - last >= _GAP:
            if last + 1 - start >= _SHORTEST:
                stretches.append(Stretch(start * _FRAME, min((last + 1) * _FRAME, length)))
            start = -1
    return stretches


def measure(pcm: Pcm, stretches: list[Stretch]) -> Quality:
    """What there is to say about a clip. Noise is the median level of the pauses: a cough in one does not count."""
    speaking = np.zeros(len(pcm.samples), dtype=bool)
    for stretch in stretches:
        speaking[stretch.start : stretch.stop] = True
    power = _power(pcm.samples)
    spoken = speaking[_STEP // 2 :: _STEP][: len(power)]
    pauses = power[~spoken]
    if len(pauses) < 10:  # noqa: PLR2004 (a tenth of a second: too little to tell)
        pauses = np.sort(power)[: len(power) // 10 + 1]
    level_dbfs = _decibels(float(power[spoken].mean())) if spoken.any() else -120.0
    noise_dbfs = _decibels(float(np.median(pauses))) if len(pauses) else -120.0
    return Quality(
        speech_s=sum(stretch.stop - stretch.start for stretch in stretches) / SAMPLE_RATE_HZ,
        duration_s=pcm.duration_s,
        level_dbfs=level_dbfs,
        snr_db=min(60.0, max(-20.0, level_dbfs - noise_dbfs)),
        clipping=pcm.clipping,
    )


def _power(samples: Samples) -> NDArray[np.float64]:
    """Mean square of each 10 ms."""
    steps = samples[: len(samples) // _STEP * _STEP].reshape(-1, _STEP).astype(np.float64)
    power: NDArray[np.float64] = np.einsum("ft,ft->f", steps, steps) / _STEP
    return power


def _decibels(power: float) -> float:
    return max(-120.0, 10 * float(np.log10(power))) if power > 0 else -120.0


def _without_speech(pcm: Pcm, quality: Quality) -> Unusable:
    """Nobody speaks: the clip is too short to tell, or silent, or noise."""
    if quality.duration_s < LEAST_SPEECH_S:
        return Unusable("too_short", "too_short", 0.0, LEAST_SPEECH_S, quality)
    if _decibels(float(_power(pcm.samples).mean())) > SILENT_DBFS:
        return Unusable("poor_audio", "too_noisy", quality.snr_db, LEAST_SNR_DB, quality)
    return Unusable("too_short", "no_speech", 0.0, LEAST_SPEECH_S, quality)


def _fault(quality: Quality) -> Unusable | None:
    """The first thing that is wrong. What can be heard comes before how long it was: noise hides speech."""
    if quality.clipping > MOST_CLIPPING:
        return Unusable("poor_audio", "clipped", quality.clipping, MOST_CLIPPING, quality)
    if quality.snr_db < LEAST_SNR_DB:
        return Unusable("poor_audio", "too_noisy", quality.snr_db, LEAST_SNR_DB, quality)
    if quality.level_dbfs < LEAST_LEVEL_DBFS:
        return Unusable("poor_audio", "too_quiet", quality.level_dbfs, LEAST_LEVEL_DBFS, quality)
    if quality.speech_s < LEAST_SPEECH_S:
        return Unusable("too_short", "too_short", quality.speech_s, LEAST_SPEECH_S, quality)
    return None


def _cut(samples: Samples, stretches: list[Stretch]) -> Samples:
    """The stretches with their margins, joined."""
    keep = np.zeros(len(samples), dtype=bool)
    for stretch in stretches:
        keep[max(0, stretch.start - _MARGIN) : stretch.stop + _MARGIN] = True
    return samples[keep]
