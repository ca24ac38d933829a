"""Every failure: a code, an HTTP status, a title. The same three on the wire, in the client, on the command line.

VoiceIdError 500 internal
├── InvalidRequest 422 · NotAuthenticated 401 · NotAllowed 403 · NotFound 404 · MethodNotAllowed 405
├── Unprocessable sound
│   ├── EmptyAudio · NotAudio · VideoNotAudio · UnsupportedAudio · TruncatedAudio · LyingHeader · InvalidSamples
│   └── BodyTooLarge 413 · AudioTooLong 413
├── At odds with what is on record
│   ├── StalePolicy · ConsentMissing · EnrollmentClosed · NotEnoughTakes · NotEnrolled · TooSoonToAsk
│   ├── VoiceAlreadyEnrolled · CodeSpent · GuardianNeeded · NotForChildren
│   ├── PinRefused 401
│   └── Gone 410 · Unreadable 410
├── Not now: Busy · Idle · StoreUnavailable · KeysUnavailable · ServiceUnreachable
│   └── TooManyTries 429 · TooManyConnections 429
├── Not here: WrongHost 421
├── Proof: ReceiptInvalid · PurgeIncomplete · LedgerBroken
└── The installation: InvalidSettings · MissingExtra · UnpinnedModel · ModelUnavailable · ModelDamaged · ModelMismatch
    └── Uncalibrated · KeysMisplaced · NoPurpose
"""

from typing import Any, ClassVar


class VoiceIdError(Exception):
    """Something failed that we did not foresee."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong on our side"
    registry: ClassVar[dict[str, type["VoiceIdError"]]] = {}

    def __init__(self, detail: str = "", **facts: Any) -> None:
        super().__init__(detail or self.title)
        self.facts = facts
        """Further members of the problem, JSON values: measured and needed, never content."""

    def __init_subclass__(cls) -> None:
        """Enter every kind of failure under its code."""
        VoiceIdError.registry[cls.code] = cls


VoiceIdError.registry[VoiceIdError.code] = VoiceIdError


class InvalidRequest(VoiceIdError):
    """A field is missing or malformed; the detail names it, never its value."""

    code, status, title = "invalid-request", 422, "The request is not as documented"


class NotAuthenticated(VoiceIdError):
    """No token, or one that is unknown, expired or signed out."""

    code, status, title = "not-authenticated", 401, "A valid token is needed"


class NotAllowed(VoiceIdError):
    """The token is good, but not for this."""

    code, status, title = "not-allowed", 403, "This token may not do that"


class NotFound(VoiceIdError):
    """Nothing by that id in this household."""

    code, status, title = "not-found", 404, "No such thing here"


class MethodNotAllowed(VoiceIdError):
    """The path exists, the method does not."""

    code, status, title = "method-not-allowed", 405, "This path does not know that method"


class Gone(VoiceIdError):
    """It was here and has been erased."""

    code, status, title = "gone", 410, "This has been erased"


class EmptyAudio(VoiceIdError):
    """No bytes, or a header and no samples."""

    code, status, title = "empty-audio", 422, "The audio is empty"


class NotAudio(VoiceIdError):
    """The bytes are no sound file that we know."""

    code, status, title = "not-audio", 415, "This is not audio"


class VideoNotAudio(VoiceIdError):
    """A video container. Send the sound alone."""

    code, status, title = "video-not-audio", 415, "This is a video, not a sound file"


class UnsupportedAudio(VoiceIdError):
    """Sound in a form that we do not read, or undeclared raw PCM."""

    code, status, title = "unsupported-audio", 415, "This form of audio is not supported"


class TruncatedAudio(VoiceIdError):
    """The file ends before its sound does."""

    code, status, title = "truncated-audio", 422, "The audio ends too early"


class LyingHeader(VoiceIdError):
    """The header promises what the file does not hold."""

    code, status, title = "lying-header", 422, "The header does not fit the content"


class InvalidSamples(VoiceIdError):
    """NaN or infinite samples."""

    code, status, title = "invalid-samples", 422, "The audio holds samples that are not numbers"


class BodyTooLarge(VoiceIdError):
    """More bytes than `max_body_mb`."""

    code, status, title = "body-too-large", 413, "The request is too large"


class AudioTooLong(VoiceIdError):
    """More seconds than `max_audio_s`."""

    code, status, title = "audio-too-long", 413, "The audio is too long"


class StalePolicy(VoiceIdError):
    """Consent was given to a wording that is no longer the current one."""

    code, status, title = "stale-policy", 409, "The wording has changed: show the current one and ask again"


class ConsentMissing(VoiceIdError):
    """A purpose that this needs has not been agreed to."""

    code, status, title = "consent-missing", 409, "The person has not agreed to this"


class TooSoonToAsk(VoiceIdError):
    """The person said no a short while ago."""

    code, status, title = "too-soon-to-ask", 409, "This person said no recently: do not ask again yet"


class EnrollmentClosed(VoiceIdError):
    """The enrollment was completed, abandoned, withdrawn or ran out of time."""

    code, status, title = "enrollment-closed", 409, "This enrollment is over: start a new one"


class NotEnoughTakes(VoiceIdError):
    """Fewer takes or less speech than a voiceprint needs."""

    code, status, title = "not-enough-takes", 409, "More takes are needed"


class NotEnrolled(VoiceIdError):
    """There is no voiceprint to work on."""

    code, status, title = "not-enrolled", 409, "This person has no voiceprint"


class VoiceAlreadyEnrolled(VoiceIdError):
    """The takes sound like somebody else of this household who is enrolled already."""

    code, status, title = "voice-already-enrolled", 409, "This voice is already enrolled under another person"


class CodeSpent(VoiceIdError):
    """The invitation was used, ran out, or never was."""

    code, status, title = "code-spent", 401, "This code is not valid any more: ask for a new invitation"


class PinRefused(VoiceIdError):
    """Name and PIN do not belong together; which of them is wrong is not told."""

    code, status, title = "pin-refused", 401, "Name and PIN do not fit"


class GuardianNeeded(VoiceIdError):
    """A child without a guardian, or a guardian who is not an adult of the household."""

    code, status, title = "guardian-needed", 409, "A child needs a guardian among the household's adults"


class NotForChildren(VoiceIdError):
    """Human review and sharing stay off for children."""

    code, status, title = "not-for-children", 409, "This purpose is not offered for children"


class Busy(VoiceIdError):
    """All encoders are taken; retry after the stated seconds."""

    code, status, title = "busy", 503, "Too many requests at once: try again shortly"


class Idle(VoiceIdError):
    """A live connection on which nothing came for too long."""

    code, status, title = "idle", 408, "Nothing was sent for too long"


class TooManyTries(VoiceIdError):
    """Too many wrong PINs in a row; the next one counts after the stated seconds."""

    code, status, title = "too-many-tries", 429, "Too many wrong tries: wait before the next one"


class TooManyConnections(VoiceIdError):
    """The household, or this token, has as many live connections open as it may have."""

    code, status, title = "too-many-connections", 429, "Too many live connections are open"


class WrongHost(VoiceIdError):
    """The request names a host that this service does not go by: another site may be behind it."""

    code, status, title = "wrong-host", 421, "This service does not go by that name"


class StoreUnavailable(VoiceIdError):
    """The database does not answer, or cannot write."""

    code, status, title = "store-unavailable", 503, "The database cannot be used right now"


class KeysUnavailable(VoiceIdError):
    """The key store is missing, unreadable, or belongs to another installation."""

    code, status, title = "keys-unavailable", 503, "The key store cannot be used right now"


class ServiceUnreachable(VoiceIdError):
    """The client found nobody at the service's address, or lost the connection. The service itself never says this."""

    code, status, title = "service-unreachable", 503, "The service does not answer"


class InvalidSettings(VoiceIdError):
    """An unknown VOICEID_ name or an impossible value."""

    code, status, title = "invalid-settings", 500, "The settings are not valid"


class MissingExtra(VoiceIdError):
    """An optional part is not installed; the detail names the extra."""

    code, status, title = "missing-extra", 500, "An optional part is not installed"


class UnpinnedModel(VoiceIdError):
    """A model from a hub without pinned revision and digests: its loader could run anything."""

    code, status, title = "unpinned-model", 500, "This model is not pinned"


class ModelUnavailable(VoiceIdError):
    """A model is not on this machine, or could not be fetched to it."""

    code, status, title = "model-unavailable", 500, "The model is not here yet"


class ModelDamaged(VoiceIdError):
    """A model file does not have the digest that its card states."""

    code, status, title = "model-damaged", 500, "A model file is not the one that was published"


class ModelMismatch(VoiceIdError):
    """Two embeddings of different encoders were about to meet."""

    code, status, title = "model-mismatch", 500, "These voiceprints were made by another encoder"


class Uncalibrated(VoiceIdError):
    """Nobody has found out what this encoder's scores are worth, so it may name nobody."""

    code, status, title = "uncalibrated", 500, "This encoder has no calibration"


class KeysMisplaced(VoiceIdError):
    """The key store lies inside the data directory."""

    code, status, title = "keys-misplaced", 500, "The key store must lie outside the data directory"


class ReceiptInvalid(VoiceIdError):
    """The signature does not fit, or the key is not the expected one."""

    code, status, title = "receipt-invalid", 422, "The receipt does not verify"


class PurgeIncomplete(VoiceIdError):
    """A recount after erasing found something; the receipt stays pending and the purge is tried again."""

    code, status, title = "purge-incomplete", 500, "Something was left after erasing"


class LedgerBroken(VoiceIdError):
    """The chain of the ledger or of the activity does not verify."""

    code, status, title = "ledger-broken", 500, "The ledger's chain is broken"


class Unreadable(VoiceIdError):
    """The row is damaged, was moved, or its key is destroyed. Whoever reads it must do without."""

    code, status, title = "unreadable", 410, "This can no longer be read"


class NoPurpose(VoiceIdError):
    """A permit was asked for without a purpose: asking for nothing must not permit everything."""

    code, status, title = "no-purpose", 500, "A permit needs a purpose"
