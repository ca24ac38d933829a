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
        """One point on the unit sphere for the whole clip.

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


@by_turns
def _features(samples: Samples) -> NDArray[np.float32]:
    return centred(log_mel(samples))
