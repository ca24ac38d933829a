"""The embedded default: CAM++ on ONNX Runtime, no torch needed; as published, or in whole numbers in half the time."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from voiceid.encode.fbank import FRAME, STEP, centred, log_mel
from voiceid.onnx import Network
from voiceid.turns import by_turns
from voiceid.types import Embedding, ModelId, Samples, Speech

_SHORTEST = FRAME + 2 * STEP
_FIRST_TURN_S, _BETWEEN_TURNS_S = 1.0, 0.2
"""Where the network looks for a change of voice."""
_DIGITS, _MOST_LEFT_OUT = 6, 32
"""Binary digits of a number of frames that count, and how many frames are left out at most, less one: 345 lengths
up to a minute instead of 6,000."""

Variant = Literal["campplus", "campplus-int8"]
"""In single precision, and in 8 bits; embeddings of the two never meet."""


class CamPlusPlus:
    """CAM++, trained on some 200,000 speakers, most of them of Mandarin. Shared by all threads.

    Source: arXiv:2303.00332; the cards `models/campplus.md` and `models/campplus-int8.md` tell origin and error rates.
    """

    dim = 192

    def __init__(self, network: Network, variant: Variant = "campplus") -> None:
        self._network = network
        self.model_id = ModelId(f"{variant}@{network.digest[:12]}")

    @classmethod
    def shipped(cls, variant: Variant = "campplus") -> "CamPlusPlus":
        """The weights that come with the package.

        Raises: ModelDamaged, when they are not the published ones.
        """
        return cls(Network.shipped(variant), variant)

    def embed(self, speech: Speech, /) -> Embedding:
        """One point on the unit sphere for the whole clip, less the frames at its end that `listened` leaves out.

        Raises: ValueError, for less than 45 ms, which no `Speech` has: the network takes the spread of two steps.
        """
        if len(speech.samples) < _SHORTEST:
            raise ValueError("less than three frames of speech")
        features = _features(speech.samples)
        (vector,), (turns,) = self._network.run({"features": features[np.newaxis]})
        direction = vector / np.linalg.norm(vector)
        if not turns.size:
            return Embedding(direction, self.model_id)
        sharpest = int(turns.argmin())
        turn_at_s = _FIRST_TURN_S + _BETWEEN_TURNS_S * sharpest
        return Embedding(direction, self.model_id, float(turns[sharpest]), turn_at_s)


def listened(frames: int) -> int:
    """How many of so many frames the network is given: of up to 63 all, else more than 31 of 32, and all but 0.31 s."""
    step = min(_MOST_LEFT_OUT, 1 << max(0, frames.bit_length() - _DIGITS))
    return frames // step * step


@by_turns
def _features(samples: Samples) -> NDArray[np.float32]:
    count = listened(1 + (len(samples) - FRAME) // STEP)
    return centred(log_mel(samples[: FRAME + STEP * (count - 1)]))
