"""Pcm -> Speech: where somebody speaks, how loud, over what noise; or the reason why it cannot be judged.

The bars below were found on the `dev` speakers of the recordings, four clips enrolled and four asked, at the score that
lets 0.1 % of strangers pass: `python tools/find_speech_bars.py`. None of what they refuse let more strangers pass; they
say "speak longer" or "come closer" where "unknown voice" would be of no help.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from voiceid.onnx import Network
from voiceid.turns import by_turns
from voiceid.types import SAMPLE_RATE_HZ, Pcm, Quality, Samples, Speech, Unusable

LEAST_SPEECH_S = 0.8
"""Net speech. Members missed: 51 % at 0.3 s, 25 % at 0.5 s, 10 % at 0.75 s, 5 % at 1 s, 2 % at 1.25 s."""
LEAST_SNR_DB = 3.0
"""Pauses half as strong as the speech over them: noise as strong as the voice. A take below is refused. A request is
judged all the same, and told of the noise if it names nobody: the pauses of a short clip are too few to refuse it."""
NARROW_DB = -50.0
"""Treble below which a clip came over a telephone. Of 158 clips each, with none: -30 at least, 3 m away -45, as Opus at
12 kbit/s -30; over a telephone: -101 at most: `python tools/find_speech_bars.py ../shared/speech --treble`."""
_TREBLE_HZ, _MIDDLE_HZ, _TELEPHONE_HZ = (4_300, 7_500), (1_000, 3_300), (300, 3_400)
_SPECTRUM = 512
LEAST_LEVEL_DBFS = -60.0
"""Members missed: 5 % at -60, 17 % at -65, 52 % at -70, where most of the speech is not found at all."""
MOST_CLIPPING = 0.1
"""Members missed: 1 % at 0.05, 8 % at 0.1, 31 % at 0.2, 93 % at 0.4."""
SILENT_DBFS = -50.0
"""A clip without speech is noise above this, silence below."""

FRAME = 512
"""Samples that Silero judges at once: 32 ms."""
_CONTEXT = 64
"""Samples of the frame before, which it wants to see again."""
_BLOCK = 512
"""Frames per call, 16 s: bounds what a long clip needs."""
ENTER, LEAVE = 0.5, 0.35
"""Probability at which speech begins, and below which it ends: Silero's own advice."""
SHORTEST = 4
"""Frames of a stretch; below that it is a click."""
MARGIN_S = 0.3
"""Kept before and after each stretch. EER over pairs of clips: 1.15 % with none, 1.10 % with 0.1 s, 0.75 % with 0.3 s,
0.81 % uncut (so_), where soft beginnings and ends of words are kept."""
_STEP = SAMPLE_RATE_HZ // 100
"""Level is measured every 10 ms."""


class VoiceActivity:
    """Silero VAD over whole clips. Shared by all threads.

    Source: the card in `encode/models/silero_vad.md`.
    """

    def __init__(self, network: Network) -> None:
        self._network = network

    @classmethod
    def shipped(cls) -> "VoiceActivity":
        """With the network that comes with the package.

        Raises: ModelDamaged, when it is not the published one.
        """
        return cls(Network.shipped("silero_vad"))

    def __call__(self, samples: Samples, /) -> NDArray[np.float32]:
        """Probability of speech, 0..1, for each frame of 512 samples.

        Shapes: (n,) -> (ceil(n / 512),); what is missing of the last frame counts as silence.
        """
        count = -(-len(samples) // FRAME)
        padded = np.zeros(_CONTEXT + max(1, count) * FRAME, dtype=np.float32)
        padded[_CONTEXT : _CONTEXT + len(samples)] = samples
        frames = _with_context(padded)
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
        inputs = {"input": np.ascontiguousarray(_with_context(heard)), "h": self._hidden, "c": self._cell}
        probabilities, self._hidden, self._cell = self._network.run(inputs)
        return probabilities


def _with_context(sound: Samples) -> Samples:
    """A view of all whole frames, each behind the end of the one before; numpy's own takes 30 us to make one.

    Shapes: (64 + n,) -> (n // 512, 576).
    """
    count, width = (len(sound) - _CONTEXT) // FRAME, sound.itemsize
    return np.ndarray((count, _CONTEXT + FRAME), sound.dtype, sound, strides=(FRAME * width, width))


@dataclass(frozen=True, slots=True)
class Stretch:
    """Somebody speaks from sample `start` up to, not including, sample `stop`."""

    start: int
    stop: int


class SpeechCheck:
    """Sound in; speech that can be judged out, or the reason why not. Built once, shared by all threads."""

    def __init__(self, voice_activity: VoiceActivity) -> None:
        self._voice_activity = voice_activity

    @classmethod
    def shipped(cls) -> "SpeechCheck":
        """With the shipped voice activity.

        Raises: ModelDamaged, when its network is not the published one.
        """
        return cls(VoiceActivity.shipped())

    def __call__(self, pcm: Pcm, /) -> Speech | Unusable:
        """Find the speech, measure it, judge whether it can be judged."""
        return judge(pcm, self._voice_activity(pcm.samples))


@by_turns
def judge(pcm: Pcm, probabilities: NDArray[np.float32]) -> Speech | Unusable:
    """Speech that can be judged, or the reason why not, from the probability of speech in each frame."""
    stretches = find_stretches(probabilities, len(pcm.samples))
    quality = measure(pcm, stretches)
    if quality.duration_s < LEAST_SPEECH_S:
        return Unusable("too_short", "too_short", quality.speech_s, LEAST_SPEECH_S, quality)
    fault = _fault(quality) if stretches else _without_speech(pcm, quality)
    return fault or Speech(_cut(pcm.samples, stretches), quality)


def is_narrow(quality: Quality) -> bool:
    """Whether this sound came over a telephone, or anything else that carries nothing above 4 kHz."""
    return quality.treble_db < NARROW_DB


def over_telephone(speech: Speech) -> Speech:
    """The same speech as a telephone would carry it: 300 to 3,400 Hz."""
    pitch_hz = np.fft.rfftfreq(len(speech.samples), 1 / SAMPLE_RATE_HZ)
    low_hz, high_hz = _TELEPHONE_HZ
    gain = 1 / np.sqrt((1 + (low_hz / np.maximum(pitch_hz, 1.0)) ** 8) * (1 + (pitch_hz / high_hz) ** 40))
    samples = np.fft.irfft(np.fft.rfft(speech.samples) * gain, len(speech.samples)).astype(np.float32)
    return Speech(samples, speech.quality)


def too_noisy(quality: Quality) -> Unusable | None:
    """What to say where noise may be why a voice is not known, and why a take is not good enough; None: it is not."""
    if quality.snr_db >= LEAST_SNR_DB:
        return None
    return Unusable("poor_audio", "too_noisy", quality.snr_db, LEAST_SNR_DB, quality)


def find_stretches(probabilities: NDArray[np.float32], length: int) -> list[Stretch]:
    """Where speech begins and ends in a clip of `length` samples: begun at 0.5, held down to 0.35, clicks left out."""
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
    """What there is to say about a clip. Noise is the median level of the pauses: a cough in one does not count."""
    power = _power(pcm.samples)
    spoken = np.zeros(len(power), dtype=bool)
    for stretch in stretches:
        spoken[_step_at(stretch.start) : _step_at(stretch.stop)] = True
    pauses = power[~spoken]
    if len(pauses) < 10:  # noqa: PLR2004 (a tenth of a second: too little to tell)
        pauses = np.sort(power)[: len(power) // 10 + 1]
    level_dbfs = _decibels(float(power[spoken].mean())) if spoken.any() else -120.0
    noise_dbfs = _decibels(_median(pauses)) if len(pauses) else -120.0
    return Quality(
        speech_s=sum(stretch.stop - stretch.start for stretch in stretches) / SAMPLE_RATE_HZ,
        duration_s=pcm.duration_s,
        level_dbfs=level_dbfs,
        snr_db=min(60.0, max(-20.0, level_dbfs - noise_dbfs)),
        clipping=pcm.clipping,
        treble_db=_treble_db(pcm.samples),
    )


def _step_at(sample: int) -> int:
    """The first of the 10 ms whose middle is this sample or behind it."""
    return -((_STEP // 2 - sample) // _STEP)


def _power(samples: Samples) -> NDArray[np.float64]:
    """Mean square of each 10 ms."""
    steps = samples[: len(samples) // _STEP * _STEP].reshape(-1, _STEP)
    power: NDArray[np.float64] = np.einsum("ft,ft->f", steps, steps).astype(np.float64) / _STEP
    return power


def _median(values: NDArray[np.float64]) -> float:
    """The middle one, or the mean of both: numpy's own takes four times as long."""
    ordered, middle = np.sort(values), len(values) // 2
    return float(ordered[middle] + ordered[-1 - middle]) / 2


def _treble_db(samples: Samples) -> float:
    """Power per Hz in the treble over that in the middle; 0 for what is too short to tell."""
    frames = samples[: len(samples) // _SPECTRUM * _SPECTRUM].reshape(-1, _SPECTRUM)
    if not len(frames):
        return 0.0
    window, *bands = _treble_tables()
    spectrum = np.fft.rfft(frames * window)
    parts = spectrum.view(spectrum.real.dtype)  # real and imaginary in turns
    treble, middle = (_mean_square(parts[:, 2 * band.start : 2 * band.stop]) for band in bands)
    return max(-120.0, 10 * float(np.log10(treble / middle))) if treble > 0 and middle > 0 else -120.0


def _mean_square(values: NDArray[np.floating]) -> float:
    return float(np.einsum("fl,fl->", values, values)) / values.size


@cache
def _treble_tables() -> tuple[NDArray[np.float32], slice, slice]:
    """The window of a spectrum, and the lines of treble and middle in it."""
    pitch_hz = np.fft.rfftfreq(_SPECTRUM, 1 / SAMPLE_RATE_HZ)
    treble, middle = (
        slice(int(np.searchsorted(pitch_hz, low_hz, "right")), int(np.searchsorted(pitch_hz, high_hz, "left")))
        for low_hz, high_hz in (_TREBLE_HZ, _MIDDLE_HZ)
    )
    return np.hanning(_SPECTRUM).astype(np.float32), treble, middle


def _decibels(power: float) -> float:
    return max(-120.0, 10 * float(np.log10(power))) if power > 0 else -120.0


def _without_speech(pcm: Pcm, quality: Quality) -> Unusable:
    """Nobody speaks: the clip is silent, or noise."""
    if _decibels(float(_power(pcm.samples).mean())) > SILENT_DBFS:
        return Unusable("poor_audio", "too_noisy", quality.snr_db, LEAST_SNR_DB, quality)
    return Unusable("too_short", "no_speech", 0.0, LEAST_SPEECH_S, quality)


def _fault(quality: Quality) -> Unusable | None:
    """The first thing that is wrong. What can be heard comes before how long it was: noise hides speech."""
    if quality.clipping > MOST_CLIPPING:
        return Unusable("poor_audio", "clipped", quality.clipping, MOST_CLIPPING, quality)
    if quality.level_dbfs < LEAST_LEVEL_DBFS:
        return Unusable("poor_audio", "too_quiet", quality.level_dbfs, LEAST_LEVEL_DBFS, quality)
    if quality.speech_s < LEAST_SPEECH_S:
        return Unusable("too_short", "too_short", quality.speech_s, LEAST_SPEECH_S, quality)
    return None


def _cut(samples: Samples, stretches: list[Stretch]) -> Samples:
    """The stretches with their margins, joined."""
    margin, end = round(MARGIN_S * SAMPLE_RATE_HZ), 0
    parts = []
    for stretch in stretches:
        start, end = max(end, stretch.start - margin), stretch.stop + margin  # margins may meet
        parts.append(samples[start:end])
    return np.concatenate(parts)
