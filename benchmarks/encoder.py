"""The encoder and what goes into it: waveform to embedding, features alone."""

import importlib.util
from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks import peers, voices
from benchmarks.bench import Bench
from benchmarks.rows import Goal, Row, missing_row, timed_row
from voiceid.encode.campplus import CamPlusPlus
from voiceid.encode.fbank import log_mel
from voiceid.types import Samples

STATED_S = 3
LENGTHS_S = (STATED_S, 1, 2, 5, 10)
FLOPS_PER_S = 3.35e9 / 3
"""Floating-point operations of CAM++ for a second of sound."""
FEATURES_MS = 2.0
OF_SHERPA = 0.7
"""Of sherpa-onnx's time for 3 s: the floor that counts as done; 0.5 is what we are after."""
_KALDI = "kaldi-native-fbank"


def embedding(bench: Bench) -> Iterator[Row]:
    """Waveform to embedding on one thread: both variants against sherpa-onnx, each other, a matrix product."""
    plain, fast = CamPlusPlus.shipped(), CamPlusPlus.shipped("campplus-int8")
    sherpa = peers.sherpa(bench.folder("sherpa"))
    for seconds in LENGTHS_S[:1] if bench.quick else LENGTHS_S:
        speech = voices.speech(voices.seconds_of(voices.GUEST, seconds))
        stated = seconds == STATED_S
        turns = partial(bench.alternate, full=6, quick=0.8)
        for encoder, name in ((fast, "campplus-int8"), (plain, "campplus")):
            named, ours = f"{name}, {seconds} s of speech", partial(encoder.embed, speech)
            goal = Goal("ratio", OF_SHERPA) if stated and encoder is fast else None
            if sherpa is None:
                yield missing_row(named, "ms", f"{peers.SHERPA} is not installed", goal)
            else:
                both = turns(ours, partial(sherpa, speech.samples))
                yield timed_row(named, both, f"{peers.SHERPA}, same weights", goal)
        both = turns(partial(fast.embed, speech), partial(plain.embed, speech))
        yield timed_row(f"campplus-int8, {seconds} s of speech", both, "campplus")
        both = turns(partial(plain.embed, speech), _Product(FLOPS_PER_S * seconds))
        yield timed_row(f"campplus, {seconds} s of speech", both, "sgemm of as many operations")


def in_torch(bench: Bench) -> Iterator[Row]:
    """The plain encoder against those that need torch."""
    plain, speech = CamPlusPlus.shipped(), voices.speech(voices.seconds_of(voices.GUEST, STATED_S))
    for name, opens in peers.IN_TORCH.items():
        row = f"campplus, {STATED_S} s of speech"
        theirs = opens()
        if theirs is None:
            yield missing_row(row, "ms", f"{name} is not installed")
        else:
            both = bench.alternate(partial(plain.embed, speech), partial(theirs, speech.samples), 8)
            yield timed_row(row, both, name)


def features(bench: Bench) -> Iterator[Row]:
    """80-mel filterbank of 3 s, against Kaldi's own in C++."""
    name, goal = "features of 3 s", Goal("figure", FEATURES_MS)
    samples = voices.seconds_of(voices.GUEST, 3)
    if importlib.util.find_spec("kaldi_native_fbank") is None:
        yield missing_row(name, "ms", f"{_KALDI} is not installed", goal)
        return
    both = bench.alternate(lambda: log_mel(samples), lambda: _kaldi(samples), 4, 1)
    yield timed_row(name, both, _KALDI, goal, quiet=bench.noise.quiet)


class _Product:
    """A matrix product of so many operations: what the encoder would cost if it were nothing else."""

    _SIDE = 512

    def __init__(self, operations: float) -> None:
        columns = round(operations / (2 * self._SIDE**2))
        chance = np.random.default_rng(0)
        self._one = chance.random((self._SIDE, self._SIDE), dtype=np.float32)
        self._other = chance.random((self._SIDE, columns), dtype=np.float32)

    def __call__(self) -> None:
        _ = self._one @ self._other


def _kaldi(samples: Samples) -> None:
    import kaldi_native_fbank  # noqa: PLC0415 a peer that need not be there

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = 80
    bank = kaldi_native_fbank.OnlineFbank(options)
    bank.accept_waveform(16_000, samples)
    bank.input_finished()
    _ = [bank.get_frame(number) for number in range(bank.num_frames_ready)]
