"""What is shipped: both packages with all their files, the notices, nothing large, nothing that needs torch."""

import re
import runpy
import subprocess
import sys
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
from machine import ROOT

PACKAGES = ("voiceid", "enrollment")
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from this tree as `pip install .` builds it."""
    target = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(target), str(ROOT)]
    subprocess.run(pip, check=True, capture_output=True)
    (path,) = target.glob("voiceid-*.whl")
    return zipfile.ZipFile(path)


def metadata(wheel: zipfile.ZipFile, name: str) -> str:
    (path,) = [entry for entry in wheel.namelist() if entry.endswith(f".dist-info/{name}")]
    return wheel.read(path).decode()


def tree() -> set[str]:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()]
    return {path.relative_to(ROOT).as_posix() for path in files if path.parent.name != "__pycache__"}


def test_the_wheel_holds_both_packages_whole_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert shipped == tree()


def test_the_wheel_holds_what_runs_without_a_network(wheel: zipfile.ZipFile) -> None:
    """Named one by one, so that a file missing from the tree is found too."""
    names = set(wheel.namelist())
    needed = {
        "voiceid/encode/models/campplus.onnx", "voiceid/encode/models/campplus.json",
        "voiceid/encode/models/silero_vad.onnx", "voiceid/encode/models/silero_vad.json",
        "voiceid/encode/models/NOTICE", "voiceid/demo/voices/NOTICE", "voiceid/demo/voices/sentences.json",
        "voiceid/data/policy/en.json", "voiceid/data/policy/de.json", "voiceid/data/policy/es.json",
        "voiceid/py.typed", "enrollment/py.typed",
    }  # fmt: skip
    assert sorted(needed - names) == []
    assert sum(name.startswith("voiceid/demo/voices/") and name.endswith(".flac") for name in names) == 70


@pytest.mark.parametrize(("name", "limit"), [("voiceid/encode/models/campplus.onnx", 29 * MIB)])
def test_models_are_small(wheel: zipfile.ZipFile, name: str, limit: int) -> None:
    assert wheel.getinfo(name).file_size <= limit


def test_the_wheel_is_small(wheel: zipfile.ZipFile) -> None:
    assert sum(entry.compress_size for entry in wheel.infolist()) <= 40 * MIB


def test_licence_and_notices_are_with_the_metadata(wheel: zipfile.ZipFile) -> None:
    facts = HeaderParser().parsestr(metadata(wheel, "METADATA"))
    assert facts["License-Expression"] == "Apache-2.0"
    assert set(facts.get_all("License-File", [])) == {
        "LICENSE", "voiceid/encode/models/NOTICE", "voiceid/demo/voices/NOTICE",
    }  # fmt: skip


def test_the_command_is_installed(wheel: zipfile.ZipFile) -> None:
    assert "voiceid = voiceid.__main__:main" in metadata(wheel, "entry_points.txt")


def test_the_base_install_asks_for_no_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    heavy = ("torch", "speechbrain", "scikit-learn", "scipy", "matplotlib")
    assert [need for need in project["dependencies"] if need.startswith(heavy)] == []
    assert any(need.startswith("torch") for need in project["optional-dependencies"]["speechbrain"])


def test_importing_both_packages_loads_nothing_heavy() -> None:
    """Also where the extras are installed: they are loaded when they are used."""
    heavy = "{'torch', 'torchaudio', 'speechbrain', 'sklearn', 'scipy', 'matplotlib', 'IPython'}"
    code = (
        "import voiceid, enrollment, voiceid.cli.commands, sys; voiceid.cli.commands.application();"
        f" print(*sorted({heavy} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


def pinned() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("==") for line in lines)


def test_every_dependency_has_a_pinned_version() -> None:
    """All but torch and torchaudio, whose builds differ by machine, and setuptools: Resemblyzer wants an old one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needs = [*project["dependencies"], *(need for extra in project["optional-dependencies"].values() for need in extra)]
    names = {re.split(r"[\[<>=]", need)[0].lower() for need in needs} - {"voiceid"}
    assert sorted(names - pinned().keys()) == ["setuptools", "torch", "torchaudio"]


def test_what_is_installed_here_is_what_is_pinned() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format=freeze"], check=True, capture_output=True, text=True
    )
    installed = dict(line.lower().split("==") for line in done.stdout.split() if "==" in line)
    wanted = pinned()
    differing = {name: version for name, version in installed.items() if wanted.get(name, version) != version}
    assert {name for name in differing if name not in {"pip", "setuptools"}} == set()


def test_constraints_leave_torch_to_pip_and_are_sorted() -> None:
    make_constraints = runpy.run_path(str(ROOT / "tools/make_constraints.py"))["constraints"]
    names = ("Zope.Interface", "torch", "nvidia-cublas", "triton", "voiceid", "Alembic", "torch_metrics")
    lines = make_constraints([{"metadata": {"name": name, "version": "1"}} for name in names]).splitlines()
    pinned_lines = [line for line in lines if not line.startswith("#")]
    assert pinned_lines == ["alembic==1", "torch-metrics==1", "zope-interface==1"]


def test_the_makefile_lists_its_targets() -> None:
    done = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True)
    listed = {line.split()[1] for line in done.stdout.splitlines() if line.strip().startswith("make ")}
    assert {"demo", "serve", "test", "check", "bench", "docs"} <= listed
    assert Path(ROOT / ".ci/run").stat().st_mode & 0o111
