"""A real disk that is full or read-only: a clear error, nothing lost, answers go on where they can, and then again."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from home import Home, decision
from machine import absent

from voiceid.errors import StoreUnavailable
from voiceid.store import tables

KEPT = (tables.voiceprint, tables.recording, tables.interaction, tables.transcript, tables.ledger)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with Home(tmp_path_factory.mktemp("home")) as home:
        home.enrolls("ada").grants("ada", "transcripts")
        assert home.asks("ada")["stored"]
        yield home


class Disk:
    """A file system of its own in memory, which can be filled and made read-only."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.mount("size=6m,mode=700")

    def mount(self, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            absent("nothing can be mounted here: this test needs root, and a container that may mount")

    def fill(self) -> None:
        """Leave not one page."""
        with (self.folder / "ballast").open("ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def free(self) -> None:
        (self.folder / "ballast").unlink()

    def read_only(self, home: Home) -> None:
        home.services.store.database.close()  # what is open for writing cannot be made read-only
        self.mount("remount,ro")

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=False, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Disk]]:
    """Makes one, at `data` or `keys`."""
    made: list[Disk] = []

    def at(name: str) -> Disk:
        made.append(Disk(tmp_path / "home" / name))
        return made[-1]

    yield at
    for one in made:
        one.unmount()


def kept(home: Home) -> dict[str, int]:
    return {table.name: home.count(table) for table in KEPT}


def problem(home: Home, method: str, path: str, **more: Any) -> str:
    answered = home.call(method, path, home["ada"].headers, **more)
    assert answered.status_code == 503, answered.text
    return str(answered.json()["type"])


def test_a_full_disk_costs_what_must_be_written_alone(
    prepared: Home, tmp_path: Path, disk: Callable[[str], Disk]
) -> None:
    data = disk("data")
    with prepared.twin(tmp_path / "home") as home:
        before = kept(home)
        data.fill()
        answer = home.hears("ada")
        assert (answer["person"]["display_name"], answer["stored"]) == ("Ada", False)
        assert home.hears("eve")["mode"] == "anonymous"
        assert problem(home, "DELETE", f"{home['ada'].path}/consents") == "/problems/store-unavailable"
        assert problem(home, "POST", f"{home['ada'].path}/enrollments") == "/problems/store-unavailable"
        assert kept(home) == before
        data.free()
        assert home.hears("ada")["stored"]
        assert home.withdraws("ada")["state"] == "complete"


def test_a_disk_that_fills_in_the_middle_of_a_withdrawal_does_not_take_it_back(
    prepared: Home, tmp_path: Path, disk: Callable[[str], Disk], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = disk("data")
    with prepared.twin(tmp_path / "home") as home:
        doomed = {row.key_id for row in home.rows(tables.recording)}
        with monkeypatch.context() as patch:
            patch.setattr("enrollment.purge.reach", lambda point: data.fill() if point == "purge.destroyed" else None)
            answered = home.call("DELETE", f"{home['ada'].path}/consents", home["ada"].headers)
        assert (answered.status_code, answered.json()["state"]) == (202, "pending")
        assert home.names("ada") is None
        assert not doomed & home.keys()
        data.free()
        assert home.services.forgetting.resume() == 1
        assert home.ok("GET", f"/v1/receipts/{answered.json()['id']}")["state"] == "complete"
        assert home.count(tables.recording) == 0


def test_a_full_disk_under_the_keys_keeps_nobody_from_withdrawing(
    prepared: Home, tmp_path: Path, disk: Callable[[str], Disk]
) -> None:
    keys = disk("keys")
    with prepared.twin(tmp_path / "home") as home:
        slots = home.root / "keys" / "slots.bin"
        home.services.store.keys.create(slots.stat().st_size // 128 - len(home.keys()))  # no slot is free
        keys.fill()
        yes = {"json": decision()}
        assert problem(home, "PUT", f"{home['ada'].path}/consents/adapt", **yes) == "/problems/keys-unavailable"
        answer = home.hears("ada")
        assert (answer["mode"], answer["stored"]) == ("personalized", False)
        answered = home.call("DELETE", f"{home['ada'].path}/consents", home["ada"].headers)
        assert answered.status_code in {200, 202}
        assert home.names("ada") is None
        keys.free()
        home.services.forgetting.resume()
        assert home.ok("GET", f"/v1/receipts/{answered.json()['id']}")["state"] == "complete"
        assert not set(home.ok("GET", f"/v1/receipts/{answered.json()['id']}")["keys_destroyed"]) & home.keys()


def test_a_read_only_disk_is_a_clear_error_and_loses_nothing(
    prepared: Home, tmp_path: Path, disk: Callable[[str], Disk]
) -> None:
    data = disk("data")
    with prepared.twin(tmp_path / "home") as home:
        before = kept(home)
        data.read_only(home)
        assert os.statvfs(data.folder).f_flag & os.ST_RDONLY
        for path, more in (("recognize", home.sound("eve")), (f"{home['ada'].path}/enrollments", {})):
            assert problem(home, "POST", path, **more) == "/problems/store-unavailable"
        assert problem(home, "DELETE", f"{home['ada'].path}/consents") == "/problems/store-unavailable"
        assert home.ok("GET", "/v1/policy")["purposes"]
        with pytest.raises(StoreUnavailable, match="Read-only file system"):
            home._open()
        data.mount("remount,rw")
        home._open()
        assert kept(home) == before
        assert home.names("ada") == "ada"
        assert home.withdraws("ada")["state"] == "complete"


def test_a_read_only_key_store_withdraws_at_once_and_erases_later(
    prepared: Home, tmp_path: Path, disk: Callable[[str], Disk]
) -> None:
    keys = disk("keys")
    with prepared.twin(tmp_path / "home") as home:
        home.services.store.keys.close()  # type: ignore[attr-defined]  # the file key store's own
        keys.mount("remount,ro")
        store = home.services.store.keys
        store._fd = os.open(home.root / "keys" / "slots.bin", os.O_RDONLY)  # type: ignore[attr-defined]  # as the kernel leaves it
        answered = home.call("DELETE", f"{home['ada'].path}/consents", home["ada"].headers)
        assert (answered.status_code, answered.json()["state"]) == (202, "pending")
        assert home.names("ada") is None
        keys.mount("remount,rw")
        receipt = home.restarts().ok("GET", f"/v1/receipts/{answered.json()['id']}")
        assert receipt["state"] == "complete"
        assert not set(receipt["keys_destroyed"]) & home.keys()
