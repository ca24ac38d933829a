"""Pcm -> Speech: where somebody speaks, how loud, over what noise; or the reason why it cannot be judged."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voiceid.onnx import Network
from voiceid.types import SAMPLE_RATE_HZ, Pcm, Quality, Samples, Speech, Unusable

LEAST_SPEECH_S = 1.0
"""Net speech that naming needs."""
LEAST_LEVEL_DBFS = -50.0
LEAST_SNR_DB = 3.0
MOST_CLIPPING = 0.05

FRAME = 512
"""Samples that Silero judges at once: 32 ms."""
_CONTEXT = 64
"""Samples of the frame before, which it wants to see again."""
_BLOCK = 512
"""Frames per call, 16 s: bounds what a long clip needs."""
ENTER, LEAVE = 0.5, 0.35
_MARGIN = 1600
SHORTEST = 4
"""Frames: a stretch below 128 ms is a click."""


class VoiceActivity:
    """Silero VAD over whole clips. Shared by all threads.

    Source: the card in `encode/models/silero_vad.md`.
    """

    def __init__(self, network: Network) -> None:
        self._network = network

    def __call__(self, samples: Samples, /) -> NDArray[np.float32]:
        """Probability of speech per frame of 512 samples, 0..1.

        Shapes: (n,) -> (ceil(n / 512),); what is missing of the last frame counts as silence.
        """
        count = -(-len(samples) // FRAME)
        padded = np.zeros(_CONTEXT + count * FRAME, dtype=np.float32)
        padded[_CONTEXT : _CONTEXT + len(samples)] = samples
        frames = np.lib.stride_tricks.sliding_window_view(padded, _CONTEXT + FRAME)[::FRAME] if count else padded[:0]
        hidden = cell = np.zeros((1, 1, 128), dtype=np.float32)
        found = [np.zeros(0, dtype=np.float32)]
        for at in range(0, count, _BLOCK):
            block = np.ascontiguousarray(frames[at : at + _BLOCK])
            probabilities, hidden, cell = self._network.run({"input": block, "h": hidden, "c": cell})
            found.append(probabilities)
        return np.concatenate(found)

    def begin(self) -> "RunningActivity":
        """The same, for sound that is still coming in."""
        return RunningActivity(self._network)


class RunningActivity:
    """Silero VAD over one stream: frame by frame what `VoiceActivity` finds in the whole. For one thread at a time."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._hidden = self._cell = np.zeros((1, 1, 128), dtype=np.float32)
        self._seen = np.zeros(_CONTEXT, dtype=np.float32)
        """The context, and behind it what is too short for a frame."""

    def __call__(self, samples: Samples, /) -> NDArray[np.float32]:
        """Probability of speech for every frame that is complete now.

        Shapes: (n,) -> (frames completed,); the rest waits for the next call.
        """
        heard = np.concatenate([self._seen, samples])
        count = (len(heard) - _CONTEXT) // FRAME
        self._seen = heard[count * FRAME :]
        if count == 0:
            return np.zeros(0, dtype=np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(heard, _CONTEXT + FRAME)[::FRAME][:count]
        inputs = {"input": np.ascontiguousarray(frames), "h": self._hidden, "c": self._cell}
        probabilities, self._hidden, self._cell = self._network.run(inputs)
        return probabilities


@dataclass(frozen=True, slots=True)
class Stretch:
    """Somebody speaks from `start` up to `stop`, in samples."""

    start: int
    stop: int


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
        """Find the speech and measure it."""
        return judge(pcm, self._voice_activity(pcm.samples))


def judge(pcm: Pcm, probabilities: NDArray[np.float32]) -> Speech | Unusable:
    """Speech that can be judged, or the reason why not, from the probability of speech in each frame."""
    stretches = find_stretches(probabilities, len(pcm.samples))
    quality = measure(pcm, stretches)
    return _fault(quality) or Speech(_cut(pcm.samples, stretches), quality)


def listen_to(pcm: Pcm, voice_activity: VoiceActivity) -> Speech | Unusable:
    """One clip through the speech check."""
    return SpeechCheck(voice_activity)(pcm)


def find_stretches(probabilities: NDArray[np.float32], length: int) -> list[Stretch]:
    """Stretches of speech: begun above 0.5, held above 0.35, clicks left out."""
    stretches, start, inside = [], 0, False
    for frame, probability in enumerate([*probabilities.tolist(), 0.0]):
        if not inside and probability >= ENTER:
            start, inside = frame, True
        elif inside and probability < LEAVE:
            inside = False
            if frame - start >= SHORTEST:
                stretches.append(Stretch(start * FRAME, min(frame * FRAME, length)))
    return stretches


def measure(pcm: Pcm, stretches: list[Stretch]) -> Quality:
    """What there is to say about a clip."""
    speaking = np.zeros(len(pcm.samples), dtype=bool)
    for stretch in stretches:
        speaking[stretch.start : stretch.stop] = True
    speech, pause = _dbfs(pcm.samples[speaking]), _dbfs(pcm.samples[~speaking])
    return Quality(
        speech_s=int(np.count_nonzero(speaking)) / SAMPLE_RATE_HZ,
        duration_s=pcm.duration_s,
        level_dbfs=speech,
        snr_db=float(np.clip(speech - pause, -20, 60)),
        clipping=pcm.clipping,
    )


def _dbfs(samples: Samples) -> float:
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return max(-120.0, 10 * float(np.log10(power))) if power > 0 else -120.0


def _fault(quality: Quality) -> Unusable | None:
    if quality.speech_s == 0:
        return Unusable("too_short", "no_speech", 0.0, LEAST_SPEECH_S, quality)
    if quality.speech_s < LEAST_SPEECH_S:
        return Unusable("too_short", "too_short", quality.speech_s, LEAST_SPEECH_S, quality)
    if quality.clipping > MOST_CLIPPING:
        return Unusable("poor_audio", "clipped", quality.clipping, MOST_CLIPPING, quality)
    if quality.level_dbfs < LEAST_LEVEL_DBFS:
        return Unusable("poor_audio", "too_quiet", quality.level_dbfs, LEAST_LEVEL_DBFS, quality)
    if quality.snr_db < LEAST_SNR_DB:
        return Unusable("poor_audio", "too_noisy", quality.snr_db, LEAST_SNR_DB, quality)
    return None


def _cut(samples: Samples, stretches: list[Stretch]) -> Samples:
    keep = np.zeros(len(samples), dtype=bool)
    for stretch in stretches:
        keep[max(0, stretch.start - _MARGIN) : stretch.stop + _MARGIN] = True
    return samples[keep]
