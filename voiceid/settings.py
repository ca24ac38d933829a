"""All that an operator may change: `VOICEID_*` variables, read once, refused when unknown."""

import os
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, Self, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from voiceid.errors import InvalidSettings

_PREFIX = "VOICEID_"

NOT_SETTINGS = frozenset(
    {"VOICEID_SPEECH_DIR", "VOICEID_PASSPHRASE", "VOICEID_URL", "VOICEID_TOKEN", "VOICEID_FAILPOINT"}
)
"""Names that tests, tools and the client read; the service does not."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All an operator may change, checked however it is built. One is built for the service, in its command.

    Raises: InvalidSettings, for a value that is not allowed.
    """

    data_dir: Path = Path("data")
    """Directory of the embedded database. Created with mode 0700."""
    keys_dir: Path = Path("keys")
    """Directory of the key store. Must lie outside `data_dir`; back it up on its own, or not at all."""
    database_url: str | None = None
    """SQLAlchemy URL of a PostgreSQL server; empty: SQLite in `data_dir`."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8443
    """Port to listen on; 0 picks a free one."""
    allowed_hosts: Annotated[str, Meta(max_length=1000, pattern=r"^[A-Za-z0-9., -]*$")] = ""
    """Further host names by which the service may be called, separated by commas, as behind a proxy. It knows
    `localhost`, with `--lan` the machine's own name too, and answers to any address; any other name is refused."""
    consent_rule: Literal["recordings", "unbundled"] = "recordings"
    """`recordings`: voice ID needs saved recordings. `unbundled`: it does not, and enrollment audio is never kept;
    for whoever the GDPR binds."""
    policy: Literal["convenient", "balanced", "strict"] = "balanced"
    """What a wrong name costs against an unknown one; the bars follow from the shipped calibration."""
    encoder: str = "campplus"
    """`campplus`, or in half the time `campplus-int8` (shipped), `ecapa` (extra `speechbrain`), or a folder with a
    SpeechBrain checkpoint."""
    models_dir: Path = Path("models")
    """Where `voiceid model pull` puts pinned models."""
    locale: Annotated[str, Meta(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] = "en-US"
    """Locale of responses when neither request nor person names one, BCP 47."""
    jurisdiction: Annotated[str, Meta(max_length=40)] = "unspecified"
    """Country or state whose law applies, as consent records state it."""
    max_body_mb: Annotated[int, Meta(ge=1, le=64)] = 24
    """Largest request body, MiB. Larger ones are refused before they are read."""
    max_audio_s: Annotated[int, Meta(ge=5, le=300)] = 60
    """Longest clip, seconds."""
    encoders: Annotated[int, Meta(ge=1, le=64)] = field(default_factory=lambda: min(64, os.cpu_count() or 1))
    """Clips encoded at the same time, one thread each."""
    queue: Annotated[int, Meta(ge=1, le=1024)] = 32
    """Clips that may wait for an encoder; beyond it the answer is 503 with `Retry-After`."""
    live: Annotated[int, Meta(ge=1, le=4096)] = 256
    """Live connections at the same time; each may hold the sound of one utterance in memory."""
    live_per_household: Annotated[int, Meta(ge=1, le=4096)] = 16
    """Live connections of one household; a single token may have 8."""
    index_cache: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    """Households whose index is held in memory."""
    invitation_hours: Annotated[int, Meta(ge=1, le=24 * 14)] = 48
    """Hours for which an invitation can be redeemed."""
    session_days: Annotated[int, Meta(ge=1, le=365)] = 90
    """Days after which a person must be invited again."""
    pin_session_minutes: Annotated[int, Meta(ge=1, le=24 * 60)] = 15
    """Minutes after which a session ends that a PIN opened on a shared screen."""
    enrollment_minutes: Annotated[int, Meta(ge=5, le=120)] = 30
    """Minutes after which an unfinished enrollment is erased."""
    ask_again_days: Annotated[int, Meta(ge=1, le=365)] = 30
    """Days after a no before a screen may ask for the same purpose again; the person may always change their mind."""
    idle_voiceprint_days: Annotated[int, Meta(ge=1, le=365)] = 365
    """Days without a recognition after which a voiceprint is purged. May be lowered, never raised."""
    voiceprint_days: Annotated[int, Meta(ge=1, le=1095)] = 1095
    """Days after enrollment at which a voiceprint is purged unless consent is renewed. May be lowered, never raised."""
    recording_days: Annotated[int, Meta(ge=1, le=9999)] | None = None
    """Days after which recordings are erased whatever their person chose; empty: as they chose. It shortens, never
    prolongs."""
    transcript_days: Annotated[int, Meta(ge=1, le=9999)] | None = None
    """The same for the text of requests."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """How much the log tells. It never holds audio, vectors, names or text."""

    def __post_init__(self) -> None:
        wrong = []
        for name, kind in kinds().items():
            try:
                value = msgspec.convert(_meant(getattr(self, name), kind), kind, dec_hook=lambda path, text: path(text))
            except (ValueError, msgspec.ValidationError):
                wrong.append(f"{_PREFIX}{name.upper()}: must be {allowed(kind)}")
            else:
                object.__setattr__(self, name, value)  # a text of the environment, as what it means
        if wrong:
            raise InvalidSettings("; ".join(wrong))

    @classmethod
    def from_environment(cls, **given: Any) -> Self:
        """Read and check all settings; what is given goes before the environment. An empty variable counts as none.

        Raises: InvalidSettings, for an unknown `VOICEID_` name (a typing error must not pass silently) or a bad value.
        """
        found = {variable.upper(): value for variable, value in os.environ.items()}
        known = {_PREFIX + one.name.upper(): one.name for one in fields(cls)}
        mine = [variable for variable in os.environ if variable.upper().startswith(_PREFIX)]
        unknown = sorted(variable for variable in mine if variable.upper() not in {*known, *NOT_SETTINGS})
        if unknown:
            raise InvalidSettings(f"no such setting: {', '.join(unknown)}")
        read: dict[str, Any] = {name: found[variable] for variable, name in known.items() if found.get(variable)}
        return cls(**read | given)


def _meant(given: Any, kind: Any) -> Any:
    """A value as it may stand in the environment, where numbers are texts.

    Raises: ValueError, for what is no number, or cannot be printed: bytes that are no text, the end of a line.
    """
    if not isinstance(given, str) or kind is Path:
        return given
    if int in _parts(kind):
        return int(given)
    if not given.isprintable():
        raise ValueError
    return given


def _parts(kind: Any) -> tuple[Any, ...]:
    """The type of a setting, whether or not it has to be set, and its bounds; or the words that it may be."""
    if NoneType in get_args(kind):
        kind = next(one for one in get_args(kind) if one is not NoneType)
    return get_args(kind) or (kind,)


@cache
def kinds() -> dict[str, Any]:
    """The type of every setting, with its bounds."""
    return get_type_hints(Settings, include_extras=True)


def allowed(kind: Any) -> str:
    """The values of this type, in words."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in get_args(kind))
    kind, *limits = _parts(kind)
    told = {Path: "a path", str: "text", int: "a number"}[kind]
    for limit in limits:
        told += f" from {limit.ge} to {limit.le}" if limit.ge is not None else ""
        told += f" of at most {limit.max_length} characters" if limit.max_length is not None else ""
        told += f" that matches `{limit.pattern}`" if limit.pattern is not None else ""
    return told
