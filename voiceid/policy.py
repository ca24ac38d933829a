"""What people are shown before they agree, and how long each kind of data may be kept.

The version of the policy is the digest of its wording in all languages, so the wording cannot change under anybody.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from importlib import resources
from typing import Any, Literal

from voiceid.types import ADAPT, HUMAN_REVIEW, PURPOSES, SAVE_RECORDINGS, TRANSCRIPTS, VOICE_ID, Purpose

LANGUAGES = ("en", "de", "es")
ConsentRule = Literal["recordings", "unbundled"]

ADULTS_ONLY = frozenset({HUMAN_REVIEW})
"""Never offered for a child; neither is any `share:<skill>`."""

CHILD_RETENTION_DAYS = 90
"""A child's data is kept at most so long after its last use."""

KEEP_NOTHING = "none"
"""The retention under which nothing is written in the first place."""

_RETENTION = re.compile(r"until_deleted|none|18_months|3_months|days:([1-9]\d{0,3})")
_RETENTION_DAYS = {"18_months": 548, "3_months": 92}


@dataclass(frozen=True, slots=True)
class Wording:
    """One purpose in one language, as it is shown."""

    title: str
    text: str
    collected: str
    """What is collected, in one sentence."""

    @property
    def digest(self) -> str:
        """SHA-256 over everything shown, hex: the ledger keeps this."""
        return hashlib.sha256(f"{self.title}\x00{self.text}\x00{self.collected}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Kept:
    """One row of the retention schedule."""

    what: str
    purpose: Purpose
    default: str
    """`until_deleted`, `none`, `18_months`, `3_months` or `days:N`."""
    choices: tuple[str, ...]
    at_most: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """The longest that an operator lets things be kept, days; None: as long as their person chose."""

    recordings: int | None = None
    transcripts: int | None = None

    def of(self, store: str) -> timedelta | None:
        """The bound of `recordings`, `transcripts`, or of `interactions`, which go with the last of both; else none."""
        endless = self.recordings is None or self.transcripts is None
        last = None if endless else max(self.recordings or 0, self.transcripts or 0)
        days = {"recordings": self.recordings, "transcripts": self.transcripts, "interactions": last}.get(store)
        return None if days is None else timedelta(days=days)

    def limited(self, purpose: Purpose, retention: str | None) -> str | None:
        """The time that holds for what this purpose allows: what was chosen, but never longer than the bound."""
        days = {SAVE_RECORDINGS: self.recordings, TRANSCRIPTS: self.transcripts}.get(purpose)
        if days is None or retention is None:
            return retention
        chosen = _days(retention)
        return retention if chosen is not None and chosen <= days else f"days:{days}"


NO_BOUNDS = Bounds()

SCHEDULE = (
    Kept("recordings", SAVE_RECORDINGS, "18_months", ("until_deleted", "18_months", "3_months", "days:N", "none"), "-"),
    Kept("transcripts", TRANSCRIPTS, "3_months", ("until_deleted", "18_months", "3_months", "days:N", "none"), "-"),
    Kept("voiceprint", VOICE_ID, "until_deleted", ("until_deleted",), "365 days unused, 1095 days in all"),
    Kept("adapted parts of the voiceprint", ADAPT, "until_deleted", ("until_deleted",), "180 days"),
)


@lru_cache
def texts(language: str) -> dict[str, Any]:
    """All texts of one language; English for a language that we do not speak."""
    known = language if language in LANGUAGES else "en"
    content: dict[str, Any] = json.loads(
        resources.files("voiceid").joinpath(f"data/policy/{known}.json").read_text(encoding="utf-8")
    )
    return content


def wording(purpose: Purpose, language: str) -> Wording:
    """The words for one purpose."""
    name, _, skill = purpose.partition(":")
    shown = texts(language)["purposes"][name]
    return Wording(*(shown[field].replace("{skill}", skill) for field in ("title", "text", "collected")))


@lru_cache
def version() -> str:
    """The current policy's version: 12 hex digits over every text in every language."""
    whole = json.dumps([texts(language) for language in LANGUAGES], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(whole.encode()).hexdigest()[:12]


def language_of(locale: str) -> str:
    """The language that we can show to a speaker of this locale."""
    language = locale.split("-", maxsplit=1)[0].lower()
    return language if language in LANGUAGES else "en"


def valid_retention(choice: str) -> bool:
    """Whether this is one of the choices of the schedule."""
    return _RETENTION.fullmatch(choice) is not None


def default_retention(purpose: Purpose) -> str | None:
    """How long what this purpose allows is kept if nobody says otherwise; None if it keeps nothing of its own."""
    return next((row.default for row in SCHEDULE if row.purpose == purpose), None)


def has_its_own_time(purpose: Purpose) -> bool:
    """Whether a person chooses how long to keep what this allows. A voiceprint ends with use, age or consent."""
    return purpose in {SAVE_RECORDINGS, TRANSCRIPTS, ADAPT}


def expiry(retention: str | None, kept_since: datetime, *, child: bool = False) -> datetime | None:
    """When something kept since then must be gone; None: when it is deleted."""
    days = _days(retention)
    if child:
        days = min(days if days is not None else CHILD_RETENTION_DAYS, CHILD_RETENTION_DAYS)
    return None if days is None else kept_since + timedelta(days=days)


def _days(retention: str | None) -> int | None:
    """A choice in days; None for one without end, or that cannot be read."""
    if retention == KEEP_NOTHING:
        return 0
    if retention is None or not (found := _RETENTION.fullmatch(retention)):
        return None
    return int(found[1]) if found[1] else _RETENTION_DAYS.get(retention)


def document(language: str, rule: ConsentRule, bounds: Bounds = NO_BOUNDS) -> dict[str, Any]:
    """The public policy: everything a person is told before deciding, as JSON."""
    shown = texts(language)
    needed = [VOICE_ID] if rule == "unbundled" else [SAVE_RECORDINGS, VOICE_ID]
    return {
        "version": version(),
        "language": language if language in LANGUAGES else "en",
        "languages": list(LANGUAGES),
        "consent_rule": rule,
        "needed_for_voice_id": [str(purpose) for purpose in needed],
        "title": shown["title"],
        "withdraw": shown["withdraw"],
        "without": shown["without"],
        "where": shown["where"],
        "purposes": [
            {
                "purpose": str(purpose),
                "title": (words := wording(purpose, language)).title,
                "text": words.text,
                "collected": words.collected,
                "wording": words.digest,
                "offered_to_children": purpose not in ADULTS_ONLY,
            }
            for purpose in (*PURPOSES, Purpose("share:example"))
        ],
        "retention": [
            {"what": row.what, "purpose": str(row.purpose), "default": bounds.limited(row.purpose, row.default),
             "choices": list(row.choices), "at_most": _at_most(row, bounds)}
            for row in SCHEDULE
        ],
    }  # fmt: skip


def _at_most(row: Kept, bounds: Bounds) -> str:
    limited = bounds.limited(row.purpose, "until_deleted")
    return row.at_most if limited in {"until_deleted", None} else str(limited)
