"""A receipt can be verified by anybody, offline, with the command or with thirty lines that use nothing of ours."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from home import Home, voice
from machine import ROOT

from voiceid import cli

SCRIPT = ROOT / "docs" / "verify_receipt.py"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with Home(tmp_path_factory.mktemp("home")) as home:
        yield home.enrolls("ada")


@pytest.fixture(scope="module")
def receipt(home: Home) -> Any:
    return home.withdraws("ada")


@pytest.fixture(scope="module")
def keys(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file: Path = tmp_path_factory.mktemp("trusted") / "keys.json"
    file.write_text(json.dumps(home.ok("GET", "/.well-known/voiceid-keys.json")))
    return file


def verified(receipt: str, keys: Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the script where nothing of ours can be imported."""
    (folder / "receipt.json").write_text(receipt)
    command = [sys.executable, "-I", str(SCRIPT), str(folder / "receipt.json"), str(keys)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=30)


def test_the_script_is_short_and_uses_nothing_of_ours() -> None:
    source = SCRIPT.read_text()
    assert len(source.splitlines()) <= 30
    names = [node.module or "" for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    names += [one.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import) for one in node.names]
    assert {name.split(".")[0] for name in names} <= {"cryptography", *sys.stdlib_module_names}


def test_it_verifies_what_was_handed_out(receipt: Any, keys: Path, tmp_path: Path) -> None:
    for form in (json.dumps(receipt), receipt["jws"]):
        done = verified(form, keys, tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        said = json.loads(done.stdout)
        assert (said["id"], said["state"], said["stores"]) == (receipt["id"], "complete", receipt["stores"])
        assert said["keys_destroyed"] == receipt["keys_destroyed"] != []
        assert said["ledger_head"] == receipt["ledger_head"]


def _forged(signed: str) -> Iterator[str]:
    head, body, signature = signed.split(".")
    yield f"{head}.{body[:-8]}AAAAAAAA.{signature}"
    yield f"{head}.{body}.{'A' * len(signature)}"
    yield f"{head}.{body}."


def test_it_refuses_what_was_not_signed(receipt: Any, keys: Path, tmp_path: Path) -> None:
    for forged in _forged(receipt["jws"]):
        assert verified(forged, keys, tmp_path).returncode != 0
    assert "still pending" in verified(json.dumps({**receipt, "jws": None}), keys, tmp_path).stderr
    other = json.loads(keys.read_text())
    other["keys"][0]["kid"] = "another"
    (tmp_path / "other.json").write_text(json.dumps(other))
    assert "trusted" in verified(receipt["jws"], tmp_path / "other.json", tmp_path).stderr


def test_it_says_so_when_something_was_left(home: Home, receipt: Any, keys: Path, tmp_path: Path) -> None:
    """What the signed receipt says counts, not what the document around it says."""
    signer = home.services.forgetting._signer
    left = signer.sign({**receipt, "stores": [{"store": "recordings", "found": 1, "left": 1}]})
    assert verified(json.dumps({**receipt, "jws": left}), keys, tmp_path).returncode == 1


def test_the_command_needs_no_service_either(
    receipt: Any, keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "receipt.json").write_text(json.dumps(receipt))
    where = ["--keys", str(keys), "--url", "http://127.0.0.1:1"]
    assert cli.main(["receipt", "verify", str(tmp_path / "receipt.json"), *where, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["valid"], said["id"]) == (True, receipt["id"])
    (tmp_path / "receipt.json").write_text(next(_forged(receipt["jws"])))
    assert cli.main(["receipt", "verify", str(tmp_path / "receipt.json"), *where]) == 2


def test_it_states_all_that_a_receipt_must_and_names_nobody(home: Home, receipt: Any) -> None:
    said = home.ok("POST", "/v1/receipts/verify", json={"jws": receipt["jws"]})["receipt"]
    assert set(said) == {
        "id", "state", "why", "person", "requested_at", "completed_at", "due_at", "stores", "keys_destroyed",
        "ledger_head",
    }  # fmt: skip
    assert all(set(store) == {"store", "found", "left"} for store in said["stores"])
    for secret in ("Ada", voice("ada").astype("<f4").tobytes().hex()):
        assert secret not in json.dumps(said)
