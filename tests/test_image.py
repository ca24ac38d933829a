"""The Dockerfile, step by step in clean roots: it builds, needs no network, writes only to its volumes, is healthy."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import image
import pytest
from image import Builder, Stage, StepFailed, parse
from machine import ROOT, absent


@pytest.fixture(scope="module")
def roots_of_our_own() -> None:
    """Mounting needs root, or a container that lets its root mount."""
    tried = subprocess.run(["unshare", "--mount", "mount", "--make-rprivate", "/"], check=False, capture_output=True)
    if os.getuid() != 0 or tried.returncode != 0:
        absent("needs root and the right to mount, to play the Dockerfile")


@pytest.fixture(scope="module")
def built(roots_of_our_own: None) -> Iterator[Stage]:
    """The image, built once, and gone afterwards: it is large."""
    with tempfile.TemporaryDirectory(prefix="voiceid-image-") as scratch:
        yield image.build_image(ROOT, Path(scratch))


@pytest.fixture
def builder(roots_of_our_own: None, tmp_path: Path) -> Builder:
    """A builder whose context holds one file and one folder."""
    (tmp_path / "context/folder").mkdir(parents=True)
    (tmp_path / "context/file").write_text("from the context")
    (tmp_path / "context/folder/inner").write_text("from the folder")
    return Builder(tmp_path / "context", tmp_path)


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=Path(sys.executable).parent)
    if hadolint is None:
        absent("needs the extra `dev`")
    done = subprocess.run([str(hadolint), ROOT / "Dockerfile"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_steps_are_parsed_as_docker_does() -> None:
    text = """# a comment
        FROM python:3.11 AS one
        RUN a \\
          # within
          && b
        copy --from=one --chown=1:1 x y/
        CMD ["a b"]
    """
    steps = list(parse(text))
    assert [step.word for step in steps] == ["FROM", "RUN", "COPY", "CMD"]
    assert steps[1].rest.split() == ["a", "&&", "b"]
    assert (steps[2].flags, steps[2].words) == ({"from": "one", "chown": "1:1"}, ["x", "y/"])
    assert steps[3].words == ["a b"]


def test_the_context_is_what_the_ignore_file_lets_through(tmp_path: Path) -> None:
    for name in ("README.md", "data/db", "keys/k", "voiceid/cli.py", "voiceid/a/__pycache__/cli.pyc", ".git/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = image.context_files(tmp_path, (ROOT / ".dockerignore").read_text())
    assert list(map(str, found)) == ["README.md", "voiceid/cli.py"]


def test_a_step_sees_what_earlier_steps_made_and_nothing_else(builder: Builder) -> None:
    stage = builder.build(parse("""
        FROM python:3.11 AS first
        WORKDIR /work-here
        COPY file folder ./
        ENV WHERE=/made PATH=/extra:$PATH
        RUN mkdir $WHERE && cat file inner > $WHERE/both && echo changed > /etc/hostname
        FROM python:3.11
        COPY --from=first /made /made
        RUN test ! -e /work-here && useradd --uid 10001 someone
        USER 10001:10001
        RUN id -u > /tmp/me && python -c 'import sys; assert sys.prefix == "/usr/local"' && ! touch /made/x 2>&1
    """))  # fmt: skip
    shown = stage.sh("cat image/made/both image/tmp/me; grep someone image/etc/passwd")
    assert shown.stdout.startswith("from the contextfrom the folder10001\nsomeone:x:10001")
    assert builder.stages["first"].env["PATH"].startswith("/extra:/usr/local/bin")
    assert "someone" not in Path("/etc/passwd").read_text()


@pytest.mark.parametrize("step", ["RUN false", "COPY absent ./", "MAINTAINER me", "FROM debian:12"])
def test_a_step_that_fails_is_found(builder: Builder, step: str) -> None:
    with pytest.raises(StepFailed):
        builder.build(parse(f"FROM python:3.11\n{step}\n"))


@pytest.mark.slow
def test_the_image_holds_no_build_tools_and_runs_without_rights(built: Stage) -> None:
    assert built.user == "10001:10001"
    shown = built.sh(f"ls image; {built.command(['sh', '-c', 'command -v pip; python -m pip; ls -ld /data /keys'])}")
    assert "src" not in shown.stdout.split()
    assert "No module named pip" in shown.stdout
    assert shown.stdout.count("drwx------") == 2


@pytest.mark.slow
def test_the_image_has_no_torch_and_both_packages(built: Stage) -> None:
    code = "import voiceid, enrollment, sys; print(voiceid.__file__); assert 'torch' not in sys.modules"
    done = image.run(built, built.command(["python", "-c", code]))
    assert (done.returncode, done.stdout.startswith("/opt/voiceid/")) == (0, True), done.stdout


@pytest.mark.slow
def test_the_image_is_small(built: Stage) -> None:
    done = built.sh("du --summarize --block-size=1M image/opt/voiceid")
    assert int(done.stdout.split()[0]) < 480


@pytest.mark.slow
def test_the_doctor_is_content_without_a_network(built: Stage) -> None:
    done = image.run(built, built.command([*built.recorded["ENTRYPOINT"].words, "doctor", "--json"]))
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"], report["torch"]) == (0, True, False), done.stdout


@pytest.mark.slow
def test_the_service_becomes_healthy_and_writes_to_its_volumes_alone(built: Stage) -> None:
    service = built.command([*built.recorded["ENTRYPOINT"].words, *built.recorded["CMD"].words])
    health = built.command(json.loads(built.recorded["HEALTHCHECK"].rest.removeprefix("CMD")))
    done = image.run(built, f"""
        if {health} 2> /dev/null; then echo healthy without a service; exit 1; fi
        {service} > log 2>&1 & service=$!
        for attempt in 1 2 3 4 5 6 7 8 9 10; do sleep 1; if {health} 2> /dev/null; then echo healthy; break; fi; done
        kill $service && wait $service || true
    """)  # fmt: skip
    log = (built.scratch / "log").read_text()
    assert (done.returncode, done.stdout.splitlines()[:1]) == (0, ["healthy"]), done.stdout + log
    assert any((built.scratch / "data").iterdir())
    assert any((built.scratch / "keys").iterdir())
