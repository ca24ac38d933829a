"""Speech -> Embedding: which encoder, by its name."""

from pathlib import Path

from voiceid.encode.campplus import CamPlusPlus
from voiceid.errors import MissingExtra
from voiceid.ports import Encoder


def open_encoder(name: str, models_dir: Path) -> Encoder:
    """Load an encoder: `campplus` (shipped), `ecapa` (pulled into `models_dir`), or a folder with a checkpoint.

    Raises: MissingExtra, when SpeechBrain is not installed; ModelDamaged or UnpinnedModel, when the weights are not
        the published ones.
    """
    if name == "campplus":
        return CamPlusPlus.shipped()
    try:
        from voiceid.encode.ecapa import Ecapa  # noqa: PLC0415 (torch costs ten seconds and 590 MB: only who asks pays)
    except ImportError as missing:
        raise MissingExtra("this encoder needs torch: pip install 'voiceid[speechbrain]'") from missing
    return Ecapa.open(name, models_dir)
