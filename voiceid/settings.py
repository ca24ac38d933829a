"""All that an operator may change: `VOICEID_*` variables, read once, refused when unknown."""

import os
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from voiceid.errors import InvalidSettings

_PREFIX = "VOICEID_"

NOT_SETTINGS = frozenset(
    {"VOICEID_SPEECH_DIR", "VOICEID_PASSPHRASE", "VOICEID_URL", "VOICEID_TOKEN", "VOICEID_FAILPOINT"}
)
"""Names that tests, tools and the client read; the service does not."""


class Settings(BaseModel):
    """All an operator may change. Built once, in wiring.py; what is not given is read from the environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Path("data")
    """Directory of the embedded database. Created with mode 0700."""
    keys_dir: Path = Path("keys")
    """Directory of the key store. Must lie outside `data_dir`; back it up on its own, or not at all."""
    database_url: str | None = None
    """SQLAlchemy URL of a PostgreSQL server; empty: SQLite in `data_dir`."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(8443, ge=0, le=65535)
    """Port to listen on; 0 picks a free one."""
    allowed_hosts: str = Field("", max_length=1000, pattern=r"^[A-Za-z0-9., -]*$")
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
    locale: str = Field("en-US", pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
    """Locale of responses when neither request nor person names one, BCP 47."""
    jurisdiction: str = Field("unspecified", max_length=40)
    """Country or state whose law applies, as consent records state it."""
    max_body_mb: int = Field(24, ge=1, le=64)
    """Largest request body, MiB. Larger ones are refused before they are read."""
    max_audio_s: int = Field(60, ge=5, le=300)
    """Longest clip, seconds."""
    encoders: int = Field(default_factory=lambda: min(64, os.cpu_count() or 1), ge=1, le=64)
    """Clips encoded at the same time, one thread each."""
    queue: int = Field(32, ge=1, le=1024)
    """Clips that may wait for an encoder; beyond it the answer is 503 with `Retry-After`."""
    live: int = Field(256, ge=1, le=4096)
    """Live connections at the same time; each may hold the sound of one utterance in memory."""
    live_per_household: int = Field(16, ge=1, le=4096)
    """Live connections of one household; a single token may have 8."""
    index_cache: int = Field(1000, ge=1, le=100_000)
    """Households whose index is held in memory."""
    invitation_hours: int = Field(48, ge=1, le=24 * 14)
    """Hours for which an invitation can be redeemed."""
    session_days: int = Field(90, ge=1, le=365)
    """Days after which a person must be invited again."""
    pin_session_minutes: int = Field(15, ge=1, le=24 * 60)
    """Minutes after which a session ends that a PIN opened on a shared screen."""
    enrollment_minutes: int = Field(30, ge=5, le=120)
    """Minutes after which an unfinished enrollment is erased."""
    ask_again_days: int = Field(30, ge=1, le=365)
    """Days after a no before a screen may ask for the same purpose again; the person may always change their mind."""
    idle_voiceprint_days: int = Field(365, ge=1, le=365)
    """Days without a recognition after which a voiceprint is purged. May be lowered, never raised."""
    voiceprint_days: int = Field(1095, ge=1, le=1095)
    """Days after enrollment at which a voiceprint is purged unless consent is renewed. May be lowered, never raised."""
    recording_days: int | None = Field(None, ge=1, le=9999)
    """Days after which recordings are erased whatever their person chose; empty: as they chose. It shortens, never
    prolongs."""
    transcript_days: int | None = Field(None, ge=1, le=9999)
    """The same for the text of requests."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """How much the log tells. It never holds audio, vectors, names or text."""

    @model_validator(mode="before")
    @classmethod
    def _environment(cls, given: dict[str, Any]) -> dict[str, Any]:
        found = {variable.upper(): value for variable, value in os.environ.items()}
        names = ((name, _PREFIX + name.upper()) for name in cls.model_fields)
        return {name: found[variable] for name, variable in names if variable in found} | given

    @classmethod
    def from_environment(cls) -> Self:
        """Read and check all settings.

        Raises: InvalidSettings, for an unknown `VOICEID_` name (a typing error must not pass silently) or a bad value.
        """
        known = {_PREFIX + name.upper() for name in cls.model_fields} | NOT_SETTINGS
        mine = [name for name in os.environ if name.upper().startswith(_PREFIX)]
        unknown = sorted(name for name in mine if name.upper() not in known)
        if unknown:
            raise InvalidSettings(f"no such setting: {', '.join(unknown)}")
        try:
            return cls()
        except ValidationError as bad:
            wrong = [f"{_PREFIX}{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in bad.errors()]
            raise InvalidSettings("; ".join(wrong)) from None
