"""Run a Dockerfile's steps in order without a Docker engine: each stage is a root of its own, paths stay as written.

A stage's root is the host's /usr, /etc, /opt and /var under an overlay (the host never changes), with the Python of
this test at /usr/local as in the official image, and empty directories for the rest. Steps run in it by chroot, in
mount and process namespaces of their own, which needs root. What it does not show: that the base image itself brings
what the steps use.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

OVERLAID = ("usr", "etc", "opt", "var")
PYTHON_IMAGE_ENV = {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
ROOT = PurePosixPath("/")
RECORDED = ("EXPOSE", "LABEL", "STOPSIGNAL", "VOLUME", "HEALTHCHECK", "ENTRYPOINT", "CMD")


class StepFailed(RuntimeError):
    """A step of the Dockerfile cannot be understood, or did not exit with 0."""


@dataclass(frozen=True)
class Step:
    """One instruction."""

    word: str
    rest: str
    flags: Mapping[str, str]

    @property
    def words(self) -> list[str]:
        """The arguments, from the JSON form or split as a shell does."""
        return json.loads(self.rest) if self.rest.startswith("[") else shlex.split(self.rest)


def parse(text: str) -> Iterator[Step]:
    """The instructions of a Dockerfile in order: comments dropped, continued lines joined, flags set apart."""
    kept = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n", " ", "\n".join(kept)).splitlines():
        word, _, rest = line.strip().partition(" ")
        flags = {}
        while found := re.match(r"\s*--([a-z-]+)=(\S+)\s+", rest):
            flags[found[1]] = found[2]
            rest = rest[found.end() :]
        yield Step(word.upper(), rest.strip(), flags)


def context_files(root: Path, ignore: str) -> list[PurePosixPath]:
    """The files below `root` that a .dockerignore lets through; the last matching line wins."""
    rules = [line.strip() for line in ignore.splitlines() if line.strip() and not line.startswith("#")]
    patterns = [(not rule.startswith("!"), re.compile(_pattern(rule.removeprefix("!")))) for rule in rules]
    found = []
    for path in sorted(root.rglob("*")):
        relative = PurePosixPath(path.relative_to(root).as_posix())
        names = [str(relative), *map(str, relative.parents)]
        verdicts = [ignored for ignored, pattern in patterns if any(map(pattern.fullmatch, names))]
        if path.is_file() and not (verdicts and verdicts[-1]):
            found.append(relative)
    return found


def _pattern(rule: str) -> str:
    """One rule as a regular expression: `**` spans folders, `*` and `?` stay within a name."""
    wild = {"**/": "(?:.+/)?", "*": "[^/]*", "?": "[^/]"}
    return "".join(wild.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*|\?)", rule))


@dataclass
class Stage:
    """The file system and the settings that the steps so far have made."""

    scratch: Path
    env: dict[str, str] = field(default_factory=lambda: dict(PYTHON_IMAGE_ENV))
    workdir: PurePosixPath = ROOT
    user: str = "0:0"
    recorded: dict[str, Step] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Lay out an empty root."""
        for name in ("proc", "dev", "tmp", "run", "root", "home", *OVERLAID):
            (self.scratch / "root" / name).mkdir(parents=True)
        (self.scratch / "root/tmp").chmod(0o1777)
        for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
            if (Path("/") / name).is_symlink():
                (self.scratch / "root" / name).symlink_to((Path("/") / name).readlink())

    def mounts(self, at: str, mode: str = "rw") -> str:
        """Shell lines that put this stage's root together at a directory."""
        lines = [f"mount --bind {self.scratch}/root {at}"]
        for name in (*OVERLAID, "usr/local"):
            lower = sys.base_prefix if name == "usr/local" else f"/{name}"
            upper, work = (self.scratch / kind / name.replace("/", "-") for kind in ("upper", "work"))
            upper.mkdir(parents=True, exist_ok=True)
            work.mkdir(parents=True, exist_ok=True)
            options = f"{mode},lowerdir={lower},upperdir={upper},workdir={work}"
            lines.append(f"mount -t overlay overlay -o {options} {at}/{name}")
        if mode == "ro":
            lines.append(f"mount -o remount,ro,bind {at}")
        return "\n".join([*lines, f"mount --rbind /dev {at}/dev", f"mount -t proc proc {at}/proc"])

    def command(self, words: Sequence[str], env: Mapping[str, str] | None = None) -> str:
        """A shell line that runs the words inside the root at ./image."""
        variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in (self.env | dict(env or {})).items())
        home = 'export HOME="$(getent passwd "$(id -u)" | cut -d: -f6)"'
        inner = f"{home}; cd {shlex.quote(str(self.workdir))} && exec {shlex.join(words)}"
        chroot = f"chroot --userspec={self.user} --groups={self.user.partition(':')[2]} image"
        return f"env -i {variables} {chroot} /bin/sh -c {shlex.quote(inner)}"

    def sh(self, script: str, *, mode: str = "rw", network: bool = True) -> subprocess.CompletedProcess[str]:
        """Run shell lines beside this stage's root, mounted at ./image, in namespaces that end with them."""
        (self.scratch / "image").mkdir(exist_ok=True)
        lines = f"set -eu\nmount --make-rprivate /\n{self.mounts('image', mode)}\n{script}\n"
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", *([] if network else ["--net"])]
        return subprocess.run(
            [*unshare, "sh", "-c", lines], cwd=self.scratch, check=False, text=True, timeout=900,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def must(self, step: Step, script: str) -> None:
        """Run shell lines that belong to a step.

        Raises: StepFailed.
        """
        done = self.sh(script)
        if done.returncode != 0:
            raise StepFailed(f"{step.word} {step.rest}\n{done.stdout[-4000:]}")


@dataclass
class Builder:
    """Carries out the steps of a Dockerfile, stage by stage."""

    context: Path
    scratch: Path
    stages: dict[str, Stage] = field(default_factory=dict)
    build_env: Mapping[str, str] = field(
        default_factory=lambda: {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_CERT"))}
    )
    """How pip is set up on this machine: the one thing that a step takes from outside."""

    def build(self, steps: Iterator[Step]) -> Stage:
        """Run every step; the last stage is the image.

        Raises: StepFailed, also for an instruction that this builder does not know.
        """
        for step in steps:
            if step.word == "FROM":
                self._from(step)
                continue
            handle = getattr(self, f"_{step.word.lower()}", None)
            if step.word in RECORDED:
                handle = self._record
            if handle is None:
                raise StepFailed(f"unknown instruction: {step.word}")
            handle(step, self._stage)
        return self._stage

    @property
    def _stage(self) -> Stage:
        return list(self.stages.values())[-1]

    def _from(self, step: Step) -> None:
        image, *name = re.split(r"\s+[Aa][Ss]\s+", step.rest)
        if not image.startswith("python:"):
            raise StepFailed(f"only images of Python can be played: {image}")
        scratch = self.scratch / f"stage-{len(self.stages)}"
        scratch.mkdir()
        self.stages[name[0] if name else str(len(self.stages))] = stage = Stage(scratch)
        stage.must(step, "chroot image ldconfig")  # as the image does, for a Python with a shared library

    def _record(self, step: Step, stage: Stage) -> None:
        stage.recorded[step.word] = step

    def _run(self, step: Step, stage: Stage) -> None:
        words = step.words if step.rest.startswith("[") else ["/bin/sh", "-c", step.rest]
        stage.must(step, stage.command(words, self.build_env))

    def _env(self, step: Step, stage: Stage) -> None:
        for pair in step.words:
            name, _, value = pair.partition("=")
            stage.env[name] = re.sub(r"\$\{?(\w+)\}?", lambda found: stage.env.get(found[1], ""), value)

    def _workdir(self, step: Step, stage: Stage) -> None:
        stage.workdir = stage.workdir / step.rest
        stage.must(step, f"mkdir -p image{stage.workdir}")

    def _user(self, step: Step, stage: Stage) -> None:
        user, _, group = step.rest.partition(":")
        stage.user = f"{user}:{group or user}"

    def _copy(self, step: Step, stage: Stage) -> None:
        *sources, target = step.words
        folder = target.endswith("/") or len(sources) > 1
        into = shlex.quote(f"image{stage.workdir / target}" + "/" * folder)
        other = self.stages[step.flags["from"]] if "from" in step.flags else None
        copy = "cp -a --no-preserve=ownership"
        lines = ["mkdir -p other", other.mounts("other") if other else f"mount --bind {self.context} other"]
        for source in sources:
            origin = f"other/{source.removeprefix('./').lstrip('/')}"
            lines.append(f"if [ -d {origin} ]; then mkdir -p {into} && {copy} {origin}/. {into}/")
            lines.append(f"else mkdir -p {into if folder else f'$(dirname {into})'} && {copy} {origin} {into}; fi")
        stage.must(step, "\n".join([*lines, "umount --recursive other"]))


def run(stage: Stage, script: str) -> subprocess.CompletedProcess[str]:
    """Run shell lines beside the finished image as a careful operator runs it: read-only, without any network.

    Its volumes start as the image left them and are `./data` and so on for the script; /tmp is in memory.
    """
    lines = ["mount -t tmpfs tmpfs image/tmp"]
    for volume in stage.recorded["VOLUME"].words:
        kept = stage.scratch / volume.strip("/")
        lines.append(f"test -d {kept} || cp -a image{volume} {kept}; mount --bind {kept} image{volume}")
    loopback_up = "import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh', b'lo', 1))"
    lines.append(f"{shlex.quote(sys.executable)} -c {shlex.quote(loopback_up)}")
    return stage.sh("\n".join([*lines, script]), mode="ro", network=False)


def build_image(root: Path, scratch: Path) -> Stage:
    """Build the image of the repository at `root` from what its .dockerignore lets through.

    Raises: StepFailed.
    """
    context = scratch / "context"
    for relative in context_files(root, (root / ".dockerignore").read_text()):
        (context / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / relative, context / relative)
    return Builder(context, scratch).build(parse((root / "Dockerfile").read_text()))
