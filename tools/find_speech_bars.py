"""What length, noise, level and clipping do to recognition: where the bars of `voiceid/speech.py` come from.

    python tools/find_speech_bars.py ../shared/speech             # members missed, by condition
    python tools/find_speech_bars.py ../shared/speech --cutting   # equal error rates, by how pauses are cut
    python tools/find_speech_bars.py ../shared/speech --treble    # treble over middle, by condition

Uses `dev` and `noise` of the recordings, one thread. Every third speaker of so_ is a member: four clips are enrolled,
the others asked, at the score that 0.1 % of the other members' clips pass.
"""

import argparse
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voiceid import speech
from voiceid.decode import decode
from voiceid.encode.campplus import CamPlusPlus
from voiceid.evaluate.channels import Channels
from voiceid.evaluate.metrics import eer
from voiceid.speech import Stretch, VoiceActivity, find_stretches
from voiceid.types import SAMPLE_RATE_HZ, Pcm, Quality, Samples, Speech

ENROLLED = 4
PASSING = 0.001
LENGTHS_S = (0.3, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
SNRS_DB = (20, 15, 10, 5, 0, -5)
LEVELS_DBFS = (-40, -50, -55, -60, -65, -70)
CLIPPED = (0.001, 0.01, 0.03, 0.05, 0.1, 0.2, 0.4)
MARGINS_S = (0.0, 0.1, 0.3)
SNR_BINS_DB = (-20, 0, 3, 5, 8, 12, 60)


class Ears:
    """The shipped networks, without the bars that are looked for."""

    def __init__(self) -> None:
        self.encoder = CamPlusPlus.shipped()
        self.activity = VoiceActivity.shipped()

    def stretches(self, samples: Samples) -> list[Stretch]:
        """Where somebody speaks."""
        return find_stretches(self.activity(samples), len(samples))

    def embed(self, samples: Samples) -> NDArray[np.float32]:
        """The embedding of sound as it is."""
        return self.encoder.embed(Speech(samples, Quality(0, 0, 0, 0, 0))).vector

    def hear(self, samples: Samples, margin_s: float = speech.MARGIN_S) -> NDArray[np.float32] | None:
        """The embedding of its speech; None, if there is next to none."""
        keep, margin = np.zeros(len(samples), bool), round(margin_s * SAMPLE_RATE_HZ)
        for stretch in self.stretches(samples):
            keep[max(0, stretch.start - margin) : stretch.stop + margin] = True
        return self.embed(samples[keep]) if keep.sum() > SAMPLE_RATE_HZ // 4 else None


def main() -> None:
    """Print one table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("recordings", type=Path)
    options.add_argument("--cutting", action="store_true")
    options.add_argument("--treble", action="store_true")
    chosen = options.parse_args()
    if chosen.treble:
        for name, found in trebles(chosen.recordings):
            told = "  ".join(f"{value:6.1f}" for value in np.quantile(found, (0, 0.01, 0.5, 0.99, 1)))
            print(f"{name:14} {len(found)} clips, 0, 1, 50, 99, 100 %: {told}", flush=True)
        return
    ears = Ears()
    if chosen.cutting:
        cutting(ears, chosen.recordings / "dev")
    else:
        conditions(ears, chosen.recordings)


def read(folder: Path) -> list[Samples]:
    """All clips of a folder, in order."""
    return [decode(path.read_bytes(), max_s=600).samples for path in sorted(folder.glob("*.flac"))]


def cutting(ears: Ears, dev: Path) -> None:
    """Equal error rate over pairs of single clips, within each corpus; of so_ every second speaker."""
    for prefix, every in (("so_", 2), ("libri_", 1)):
        folders = sorted(dev.glob(f"{prefix}*"))[::every]
        clips = [(number, sound) for number, folder in enumerate(folders) for sound in read(folder)]
        who = np.array([number for number, _ in clips])
        ways: dict[str, Callable[[Samples], NDArray[np.float32]]] = {"uncut": ears.embed}
        for margin_s in MARGINS_S:
            ways[f"{margin_s} s"] = lambda sound, margin_s=margin_s: found(ears.hear(sound, margin_s))
        for name, way in ways.items():
            vectors = np.array([way(sound) for _, sound in clips])
            once = np.triu_indices(len(clips), 1)
            scores, same = (vectors @ vectors.T)[once], (who[:, None] == who)[once]
            print(f"{prefix} {name:8} {100 * eer(scores[same], scores[~same]):5.2f} %", flush=True)


def found(vector: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """A direction for speech that was not found: one that is like nobody's."""
    return np.zeros(CamPlusPlus.dim, np.float32) if vector is None else vector


def conditions(ears: Ears, recordings: Path) -> None:
    """Members missed at one bar, condition by condition."""
    takes = [read(folder) for folder in sorted((recordings / "dev").glob("so_*"))[::3]]
    prints = np.array([np.sum([found(ears.hear(sound)) for sound in clips[:ENROLLED]], axis=0) for clips in takes])
    prints /= np.linalg.norm(prints, axis=1, keepdims=True)
    asked = [(number, sound) for number, clips in enumerate(takes) for sound in clips[ENROLLED:]]
    own = np.array([number for number, _ in asked])

    def scores(sounds: list[Samples]) -> NDArray[np.float32]:
        return np.array([found(ears.hear(sound)) for sound in sounds]) @ prints.T

    clean = scores([sound for _, sound in asked])
    bar = float(np.quantile(clean[own[:, None] != np.arange(len(prints))], 1 - PASSING))
    measured: list[tuple[float, bool]] = []
    print(f"{len(prints)} members, {len(asked)} requests, bar {bar:.3f}")
    for name, sounds in worsened(ears, [sound for _, sound in asked], read(recordings / "noise")):
        table = scores(sounds)
        theirs, others = table[np.arange(len(own)), own], table[own[:, None] != np.arange(len(prints))]
        missed = f"missed {100 * np.mean(theirs < bar):5.1f} %, strangers passing {100 * np.mean(others >= bar):.2f} %"
        print(f"{name:18} {missed}", flush=True)
        if name.startswith("noise"):
            measured += by_noise(ears, sounds, theirs < bar)
    for low, high in pairwise(SNR_BINS_DB):
        there = [missed for snr_db, missed in measured if low <= snr_db < high]
        print(f"noise measured as {low:3} to {high:3} dB: {len(there):4} requests, missed {100 * np.mean(there):.0f} %")


def by_noise(ears: Ears, sounds: list[Samples], missed: NDArray[np.bool_]) -> list[tuple[float, bool]]:
    """For each request with speech enough: the noise as the speech check measures it, and whether it was missed."""
    qualities = [speech.measure(Pcm(sound), ears.stretches(sound)) for sound in sounds]
    both = zip(qualities, missed.tolist(), strict=True)
    return [(quality.snr_db, bad) for quality, bad in both if quality.speech_s >= speech.LEAST_SPEECH_S]


def worsened(ears: Ears, sounds: list[Samples], noises: list[Samples]) -> Iterator[tuple[str, list[Samples]]]:
    """Each condition with all requests in it."""
    yield "as recorded", sounds
    marks = [marked(ears.stretches(sound), len(sound)) for sound in sounds]
    for length_s in LENGTHS_S:
        ends = [int(np.searchsorted(np.cumsum(mark), length_s * SAMPLE_RATE_HZ)) for mark in marks]
        yield f"speech {length_s} s", [sound[:end] for sound, end in zip(sounds, ends, strict=True)]
    spoken = [sound[mark] for sound, mark in zip(sounds, marks, strict=True)]
    power = [float(np.mean(np.square(sound, dtype=np.float64))) for sound in spoken]
    for share in CLIPPED:
        yield f"clipped {share}", [np.clip(s / np.quantile(np.abs(s), 1 - share), -1, 1) for s in sounds]
    for level_dbfs in LEVELS_DBFS:
        gains = [10 ** (level_dbfs / 20) / p**0.5 for p in power]
        yield f"level {level_dbfs} dBFS", [in_16_bits(s * g) for s, g in zip(sounds, gains, strict=True)]
    draw = np.random.default_rng(1)
    for snr_db in SNRS_DB:
        mixed = []
        for sound, p in zip(sounds, power, strict=True):
            noise = np.resize(noises[draw.integers(len(noises))], len(sound))
            loud = max(float(np.mean(np.square(noise, dtype=np.float64))), 1e-12)
            both = sound + noise * np.float32((p / loud / 10 ** (snr_db / 10)) ** 0.5)
            mixed.append(both / max(1, float(np.abs(both).max())))
        yield f"noise {snr_db} dB", mixed


def marked(stretches: list[Stretch], length: int) -> NDArray[np.bool_]:
    """Which samples are speech."""
    speaking = np.zeros(length, bool)
    for stretch in stretches:
        speaking[stretch.start : stretch.stop] = True
    return speaking


def in_16_bits(sound: Samples) -> Samples:
    """As a quiet recording would be stored."""
    return (np.round(np.clip(sound, -1, 1) * 2**15) / 2**15).astype(np.float32)


def trebles(folder: Path) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """`Quality.treble_db` of every fifth clip of `dev` and every sixth of `cohort`, by condition."""
    conditions = Channels(folder / "dev")
    files = [*sorted(folder.glob("dev/*/*.flac"))[::5], *sorted(folder.glob("cohort/*/*.flac"))[::6]]
    clips = {file.name: decode(file.read_bytes(), max_s=60).samples for file in files}
    for name in ("clean", "tel", "room-noise10", "opus12", "far", "device"):
        change = conditions.open(name).request
        changed = (Pcm(change.apply(samples, clip)) for clip, samples in clips.items())
        yield name, np.array([speech.measure(pcm, []).treble_db for pcm in changed])


if __name__ == "__main__":
    main()
