"""Speech -> Embedding: which encoder, by its name."""

from pathlib import Path

from voiceid.encode.campplus import CamPlusPlus
from voiceid.ports import Encoder


def open_encoder(name: str, models_dir: Path) -> Encoder:
    """Load an encoder: `campplus` (shipped), `ecapa` (pulled into `models_dir`), or a folder with a checkpoint.

    Raises: MissingExtra, when SpeechBrain is not installed; ModelUnavailable, when the weights have not been pulled;
        ModelDamaged or UnpinnedModel, when they are not the published ones.
    """
    if name == "campplus":
        return CamPlusPlus.shipped()
    from voiceid.encode.ecapa import Ecapa  # noqa: PLC0415 (only who asks for it pays for it)

    return Ecapa.open(name, models_dir)
