"""The embedded default: CAM++ on ONNX Runtime, no torch needed."""

import numpy as np

from voiceid.encode.fbank import FRAME, STEP, centred, log_mel
from voiceid.onnx import Network
from voiceid.types import Embedding, ModelId, Speech

_SHORTEST = FRAME + 2 * STEP


class CamPlusPlus:
    """CAM++, trained on some 200,000 speakers, most of them of Mandarin. Shared by all threads.

    Source: arXiv:2303.00332; the card in `models/campplus.md` tells origin and error rates.
    """

    dim = 192

    def __init__(self, network: Network) -> None:
        self._network = network
        self.model_id = ModelId(f"campplus@{network.digest[:12]}")

    @classmethod
    def shipped(cls) -> "CamPlusPlus":
        """The weights that come with the package.

        Raises: ModelDamaged, when they are not the published ones.
        """
        return cls(Network.shipped("campplus"))

    def embed(self, speech: Speech, /) -> Embedding:
        """One point on the unit sphere for the whole clip.

        Raises: ValueError, for less than 45 ms, which no `Speech` has: the network takes the spread of two steps.
        """
        if len(speech.samples) < _SHORTEST:
            raise ValueError("less than three frames of speech")
        features = centred(log_mel(speech.samples))
        (vectors,) = self._network.run({"features": features[np.newaxis]})
        vector = vectors[0]
        return Embedding(vector / np.linalg.norm(vector), self.model_id)
