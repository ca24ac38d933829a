"""Enrollment, recognition, what was kept, and what anybody may read."""

from datetime import datetime
from typing import Any

from voiceid.client.call import Call, Group, Operation, answering, given, silent, sound, type_of
from voiceid.client.results import Completed, Page, Verified
from voiceid.views import (
    ActivityEntry,
    Answer,
    EnrollmentState,
    InteractionView,
    Receipt,
    RecordingView,
    ResponseTemplate,
    ReviewGrant,
    TakeResult,
    Verification,
    VoiceprintView,
)


class EnrollmentOperations(Group):
    """The guided enrollment."""

    @Operation
    def start_enrollment(self, person: str, locale: str = "en") -> Call[EnrollmentState]:
        """Begin; the sentences to read come with the answer."""
        return answering(EnrollmentState, "POST", f"{self._of(person)}/enrollments", json={"locale": locale})

    @Operation
    def add_take(
        self, person: str, enrollment: str, audio: bytes, content_type: str | None = None
    ) -> Call[TakeResult]:
        """Send one take; the answer tells what was wrong, what to do, and how far it is."""
        path = f"{self._of(person)}/enrollments/{enrollment}/takes"
        return answering(TakeResult, "POST", path, **sound(audio, content_type))

    @Operation
    def complete_enrollment(self, person: str, enrollment: str) -> Call[VoiceprintView]:
        """Make the voiceprint from the accepted takes."""
        path = f"{self._of(person)}/enrollments/{enrollment}/complete"
        return answering(Completed, "POST", path).then(lambda done: done.voiceprint)

    @Operation
    def abandon_enrollment(self, person: str, enrollment: str) -> Call[None]:
        """Give up: nothing is kept."""
        return silent("DELETE", f"{self._of(person)}/enrollments/{enrollment}")

    @Operation
    def delete_voiceprint(self, person: str) -> Call[Receipt]:
        """Erase the voiceprint; consents stay as they are."""
        return answering(Receipt, "DELETE", f"{self._of(person)}/voiceprint")


class RecognitionOperations(Group):
    """Who is speaking."""

    @Operation
    def recognize(
        self,
        audio: bytes,
        *,
        intent: str | None = None,
        transcript: str | None = None,
        locale: str | None = None,
        explain: bool = False,
        content_type: str | None = None,
    ) -> Call[Answer]:
        """Answer one utterance: personally whom the service knows and may know, anonymously everybody else."""
        path = f"{self._home}/recognize"
        params = {"explain": int(explain)}
        beside = given(intent=intent, locale=locale)
        if transcript is None:
            body = sound(audio, content_type)
            return answering(Answer, "POST", path, params={**params, **beside}, **body)
        files = {"audio": ("audio", audio, content_type or type_of(audio))}  # a transcript never travels in an address
        return answering(Answer, "POST", path, params=params, files=files, data={**beside, "transcript": transcript})

    @Operation
    def verify(self, person: str, audio: bytes, content_type: str | None = None) -> Call[Verification]:
        """Whether this person is speaking. A voice is not a password."""
        return answering(Verification, "POST", f"{self._of(person)}/verify", **sound(audio, content_type))


class TraceOperations(Group):
    """What was kept of a person, for that person."""

    @Operation
    def recordings(self, person: str, cursor: str = "", limit: int = 200) -> Call[Page[RecordingView]]:
        """List the recordings that were kept."""
        params = {"cursor": cursor, "limit": limit}
        return answering(Page[RecordingView], "GET", f"{self._of(person)}/recordings", params=params)

    @Operation
    def hear_recording(self, person: str, recording: str) -> Call[bytes]:
        """One recording, FLAC."""
        path = f"{self._of(person)}/recordings/{recording}"
        return Call("GET", path, lambda response: response.content, {})

    @Operation
    def delete_recording(self, person: str, recording: str) -> Call[Receipt]:
        """Shred one recording."""
        return answering(Receipt, "DELETE", f"{self._of(person)}/recordings/{recording}")

    @Operation
    def interactions(self, person: str, cursor: str = "", limit: int = 200) -> Call[Page[InteractionView]]:
        """List the requests in which this person was recognized and something was kept."""
        params = {"cursor": cursor, "limit": limit}
        return answering(Page[InteractionView], "GET", f"{self._of(person)}/interactions", params=params)

    @Operation
    def delete_interaction(self, person: str, interaction: str) -> Call[Receipt]:
        """Erase one interaction, with its text and sound."""
        return answering(Receipt, "DELETE", f"{self._of(person)}/interactions/{interaction}")

    @Operation
    def delete_interactions(
        self, person: str, since: datetime | None = None, until: datetime | None = None
    ) -> Call[Receipt]:
        """Erase all interactions, or those of a time range, with their text and sound."""
        params = given(since=since, until=until)
        return answering(Receipt, "DELETE", f"{self._of(person)}/interactions", params=params)

    @Operation
    def not_me(self, person: str, interaction: str) -> Call[Receipt]:
        """Somebody else was taken for this person: erase what was kept of it, at once."""
        return answering(Receipt, "POST", f"{self._of(person)}/interactions/{interaction}/not-me")

    @Operation
    def allow_review(self, person: str, recording: str, reviewer: str, reason: str) -> Call[ReviewGrant]:
        """Let one named reviewer hear one recording, for a stated reason; their token is shown this once."""
        body = {"recording": recording, "reviewer": reviewer, "reason": reason}
        return answering(ReviewGrant, "POST", f"{self._of(person)}/reviews", json=body)

    @Operation
    def export(self, person: str, passphrase: str | None = None) -> Call[bytes]:
        """Everything that is kept of this person, as a zip; with a passphrase, encrypted in the age format."""
        headers = {"Voiceid-Passphrase": passphrase} if passphrase else {}
        return Call("GET", f"{self._of(person)}/export", lambda response: response.content, {"headers": headers})

    @Operation
    def activity(self, person: str, cursor: str = "", limit: int = 200) -> Call[Page[ActivityEntry]]:
        """Who accessed what of this person's, when, and why; newest first."""
        params = {"cursor": cursor, "limit": limit}
        return answering(Page[ActivityEntry], "GET", f"{self._of(person)}/activity", params=params)


class PublicOperations(Group):
    """Response templates; and what needs no token."""

    @Operation
    def responses(self, intent: str) -> Call[ResponseTemplate]:
        """The texts for one intent: the household's own, else the shipped ones."""
        return answering(ResponseTemplate, "GET", f"{self._home}/responses/{intent}")

    @Operation
    def write_responses(self, intent: str, personal: str, anonymous: str) -> Call[ResponseTemplate]:
        """Replace the texts for one intent."""
        body = {"personal": personal, "anonymous": anonymous}
        return answering(ResponseTemplate, "PUT", f"{self._home}/responses/{intent}", json=body)

    @Operation
    def policy(self, language: str = "en") -> Call[dict[str, Any]]:
        """Purposes, wording, versions and the retention schedule."""
        return answering(dict[str, Any], "GET", "/v1/policy", params={"language": language})

    @Operation
    def receipt(self, receipt: str) -> Call[Receipt]:
        """A receipt, by its unguessable id."""
        return answering(Receipt, "GET", f"/v1/receipts/{receipt}")

    @Operation
    def verify_receipt(self, jws: str) -> Call[Verified]:
        """Let the service check a receipt's signature; `voiceid.jws.verify` does it without the service."""
        return answering(Verified, "POST", "/v1/receipts/verify", json={"jws": jws})

    @Operation
    def keys(self) -> Call[dict[str, Any]]:
        """The public keys that receipts verify with, as a JSON Web Key Set."""
        return answering(dict[str, Any], "GET", "/.well-known/voiceid-keys.json")

    @Operation
    def draw_qr(self, text: str) -> Call[str]:
        """A short text as a QR code, SVG. Nothing of it is kept."""
        return Call("POST", "/v1/qr", lambda response: response.text, {"json": {"text": text}})

    @Operation
    def healthy(self) -> Call[dict[str, str]]:
        """Whether the process runs."""
        return answering(dict[str, str], "GET", "/healthz")

    @Operation
    def ready(self) -> Call[dict[str, str]]:
        """Whether database and key store can be used."""
        return answering(dict[str, str], "GET", "/readyz")

    @Operation
    def metrics(self) -> Call[str]:
        """Prometheus metrics; for the administrator."""
        return Call("GET", "/metrics", lambda response: response.text, {})
