"""Verify a receipt of voiceid offline, with `cryptography` and nothing of ours: verify_receipt.py RECEIPT KEYS.

RECEIPT is the file that was handed out, or the bare signature in it. KEYS is the JSON Web Key Set that you fetched from
/.well-known/voiceid-keys.json while you trusted the service: one fetched later proves only that the two fit together.
"""  # noqa: INP001 a script of its own

import base64
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


receipt, keys = (Path(name).read_text(encoding="utf-8").strip() for name in sys.argv[1:3])
signed = json.loads(receipt)["jws"] if receipt.startswith("{") else receipt
if signed is None:
    sys.exit("still pending: nothing is signed until every key is destroyed and every store is empty")
head, body, signature = signed.split(".")
header, said = json.loads(_decoded(head)), json.loads(_decoded(body))
key = next((key for key in json.loads(keys)["keys"] if key["kid"] == header["kid"]), None)
if key is None or (header["alg"], header["typ"]) != ("EdDSA", "voiceid-receipt+jws"):
    sys.exit("no receipt of voiceid, or signed with a key that is not among the trusted ones")
Ed25519PublicKey.from_public_bytes(_decoded(key["x"])).verify(_decoded(signature), f"{head}.{body}".encode())
sys.stdout.write(json.dumps(said, indent=1) + "\n")
sys.exit(said["state"] != "complete" or any(store["left"] for store in said["stores"]))
