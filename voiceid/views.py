"""The result types that routes speak: frozen, JSON-ready, and the documentation of the public answers."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from voiceid.types import Change, HouseholdId, Kind, ModelId, PersonId, Purpose, Quality, Reason


@dataclass(frozen=True, slots=True)
class ResponseTemplate:
    """Two texts for one intent, Jinja2: one for a person, one for anyone."""

    intent: str
    personal: str
    """May use `name`, `preferences`, `locale`, `intent`, `hour`."""
    anonymous: str
    """May use `locale`, `intent`, `hour`."""


@dataclass(frozen=True, slots=True)
class PersonView:
    """The recognized person, as far as the caller may know them."""

    id: str
    """The person's id; for a skill a pseudonym that no other skill sees."""
    display_name: str | None
    preferences: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ResponseText:
    """What to say."""

    text: str
    locale: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to one utterance: personal for whom we know and may know, the same service for everybody else."""

    mode: Literal["personalized", "anonymous"]
    reason: Reason
    person: PersonView | None
    confidence: float
    """Calibrated probability that the named person spoke; 0 in an anonymous answer."""
    speech_s: float
    response: ResponseText
    stored: bool
    """Whether anything of this request was kept."""
    encoder: ModelId
    measured: float | None = None
    """What was measured of sound that could not be judged: seconds, dB or share."""
    needed: float | None = None
    """What would have been enough, in the same unit."""
    score: float | None = None
    """Cosine of the best person, -1..1; only with `explain`."""
    threshold: float | None = None
    timing_ms: dict[str, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """A live connection is open and listens."""

    type: Literal["listening"] = "listening"
    rate_hz: int
    chunk_ms: tuple[int, int]
    """Shortest and longest chunk."""
    hang_s: float
    """Pause after which an utterance counts as ended, seconds."""
    longest_s: float
    """An utterance that goes on for longer is ended here, seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStarted:
    """Somebody began to speak. Times count from the first sample of the connection."""

    type: Literal["speech_started"] = "speech_started"
    utterance: int
    """1 for the first of the connection."""
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """Who it is as far as can be told while they speak. Once it names a person it never names another."""

    type: Literal["hypothesis"] = "hypothesis"
    utterance: int
    mode: Literal["personalized", "anonymous"]
    person: PersonView | None
    confidence: float
    """Calibrated, as in `Answer`; 0 while nobody is named."""
    speech_s: float
    """Net speech so far, seconds."""
    retracted: bool = False
    """The person named before has withdrawn their consent meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechEnded:
    """The utterance is over: a pause, the end of the sound, the longest time, or a change of speaker."""

    type: Literal["speech_ended"] = "speech_ended"
    utterance: int
    at_s: float
    cause: Literal["pause", "end", "too_long", "other_speaker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The final word on one utterance: what `recognize` answers to the sound from `start_s` to `end_s`."""

    type: Literal["decision"] = "decision"
    utterance: int
    answer: Answer
    """On the wire its members stand beside `type`."""
    retracted: bool
    """A hypothesis named somebody whom the decision does not name."""
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether the speaker is who they are said to be. A voice is not a password."""

    accepted: bool
    confidence: float
    reason: Reason


@dataclass(frozen=True, slots=True)
class ConsentRecord:
    """One word of one person on one purpose, and how it was given."""

    record_id: str
    purpose: str
    change: Change
    at: datetime
    policy_version: str
    wording: str
    """SHA-256 of the text that was shown."""
    language: str
    method: str
    """`screen`, `spoken` (an unverified declaration) or `api`."""
    given_by: str
    """`self`, `guardian`, `clock`."""
    verification: str | None = None
    """How a child's guardian was verified: `session` or `signed_form`; docs/consent.md says what each is worth."""
    expires_at: datetime | None = None
    retention: str | None = None
    receipt: str | None = None
    """Receipt of the purge that a withdrawal set off."""


@dataclass(frozen=True, slots=True)
class PurposeState:
    """Where one purpose stands, with its history, oldest first."""

    purpose: str
    granted: bool
    history: list[ConsentRecord]
    ask_again_at: datetime | None = None
    """Before this, no screen may ask again; the person may always change their mind. None: it may be asked."""


@dataclass(frozen=True, slots=True)
class ConsentDecision:
    """What a person decided, and what they were shown."""

    decision: Literal["granted", "denied"]
    policy_version: str
    language: str
    method: Literal["screen", "spoken", "api"]
    retention: str | None = None
    expires_at: datetime | None = None
    verification: Literal["session", "signed_form"] = "session"


@dataclass(frozen=True, slots=True)
class Invited:
    """An invitation; the code is shown once and kept only as a digest."""

    id: str
    code: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """A session of a person, or of the household's owner; the token is shown once."""

    token: str
    household: HouseholdId
    person: PersonId | None
    """None: the owner's."""
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session whose token lies in a cookie that no script can read."""

    role: Literal["owner", "person"]
    household: HouseholdId
    person: PersonId | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an enrollment has come."""

    takes: int
    takes_needed: int
    speech_s: float
    speech_needed_s: float

    @property
    def done(self) -> bool:
        """Whether `complete` would succeed."""
        return self.takes >= self.takes_needed and self.speech_s >= self.speech_needed_s


@dataclass(frozen=True, slots=True)
class EnrollmentState:
    """An enrollment in progress."""

    id: str
    state: Literal["open", "ready"]
    prompts: list[str]
    progress: Progress
    needs: str
    """What to do next, a sentence."""
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class TakeResult:
    """What became of one take, what was wrong, and what to do."""

    accepted: bool
    reasons: list[str]
    advice: str
    quality: Quality
    progress: Progress
    next_prompt: str | None


@dataclass(frozen=True, slots=True)
class VoiceprintView:
    """A voiceprint without its numbers."""

    id: str
    encoder: str
    takes: int
    cohesion: float
    """Mean cosine of each take to the others, -1..1: how much of one voice it is."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Scope:
    """What is to be erased: everything that matches all that is set."""

    household: HouseholdId
    person: PersonId | None
    """None: everybody, the household itself."""
    stores: frozenset[str]
    """Names of registered stores."""
    why: str
    """`withdrawn:voice_id`, `recording deleted`, `person deleted`, …"""
    records: frozenset[str] | None = None
    """Only these record ids; None: all."""
    since: datetime | None = None
    until: datetime | None = None
    """Only what came to be before this; a purge never reaches what is agreed to after it."""
    due_at: datetime | None = None
    """When time alone would have erased it: a clock that was down is late, and the receipt says how late."""
    withdrawn: tuple[tuple[PersonId, Purpose], ...] = ()
    """Consents that were taken back with it; a restored backup takes them back again."""


@dataclass(frozen=True, slots=True)
class StoreCount:
    """One store's part in a purge."""

    store: str
    found: int
    left: int
    """The recount; zero in a complete receipt."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Signed proof of a purge: no name, nothing biometric."""

    id: str
    state: Literal["pending", "complete"]
    why: str
    person: PersonId | None
    requested_at: datetime
    completed_at: datetime | None
    due_at: datetime | None = None
    """When it had run out, if time erased it; what lies between that and `completed_at` is lateness."""
    stores: list[StoreCount] = field(default_factory=list)
    keys_destroyed: list[str] = field(default_factory=list)
    ledger_head: str | None = None
    jws: str | None = None
    """Compact JWS, EdDSA over Ed25519; None while pending."""


@dataclass(frozen=True, slots=True)
class HouseholdView:
    """A household as its owner sees it."""

    id: HouseholdId
    name: str
    locale: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PersonEntry:
    """A member as the household sees them."""

    id: PersonId
    display_name: str
    kind: Kind
    voice_id: bool
    """Whether this person can be recognized: consent and a voiceprint."""
    locale: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RecordingView:
    """A kept recording, without its sound."""

    id: str
    kind: Literal["take", "utterance"]
    at: datetime
    duration_s: float
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class InteractionView:
    """What a recognized request left behind."""

    id: str
    at: datetime
    intent: str | None
    transcript: str | None
    response: str
    confidence: float
    recording: str | None


@dataclass(frozen=True, slots=True)
class ActivityEntry:
    """Who did what with this person's data, when, and why."""

    at: datetime
    who: str
    """Role and token id: `owner:…`, `device:…`; of a person, such as a guardian, the person's id: `person:…`."""
    action: str
    why: str


@dataclass(frozen=True, slots=True)
class TokenView:
    """A token without its secret."""

    id: str
    role: str
    label: str
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReviewGrant:
    """Leave for one named reviewer to hear one recording; the token is shown once."""

    id: str
    recording: str
    reviewer: str
    reason: str
    token: str
    expires_at: datetime
