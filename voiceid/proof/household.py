"""A household over HTTP: people who join, agree, enroll and speak, each with a client of their own."""

from collections.abc import Callable
from dataclasses import dataclass, field

from voiceid import policy
from voiceid.client import Client
from voiceid.client.call import answering
from voiceid.proof.server import Server
from voiceid.proof.voices import flac, utter
from voiceid.types import SAVE_RECORDINGS, TRANSCRIPTS, VOICE_ID, PersonId, Purpose
from voiceid.views import ConsentDecision, TakeResult

ALL = (SAVE_RECORDINGS, VOICE_ID, TRANSCRIPTS)
Say = Callable[[str, int], bytes]
"""A speaker and the number of a clip -> a sound file."""


def made_up(speaker: str, clip: int) -> bytes:
    """A FLAC file in a made-up voice."""
    return flac(utter(speaker, clip))


def yes(purpose: Purpose | None = None) -> ConsentDecision:  # noqa: ARG001 the same for each
    """A yes to the current wording."""
    return ConsentDecision("granted", policy.version(), "en", "screen")


@dataclass
class Member:
    """A person with a session."""

    name: str
    speaker: str
    person: PersonId
    client: Client

    def grants(self, *purposes: Purpose) -> None:
        for purpose in purposes:
            self.client.decide(self.person, purpose, yes())

    def enrolls(self, say: Say) -> None:
        """Read four sentences and complete."""
        self.client.complete_enrollment(self.person, self.reads(say))

    def reads(self, say: Say, takes: int = 4) -> str:
        """Read sentences; the unfinished enrollment's id."""
        started = self.client.start_enrollment(self.person).id
        for clip in range(1, takes + 1):
            self.takes(started, say(self.speaker, clip))
        return started

    def takes(self, enrollment: str, content: bytes, kind: str | None = None) -> None:
        _accepted(self.client.add_take(self.person, enrollment, content, kind))

    def takes_in_a_form(self, enrollment: str, content: bytes, kind: str) -> None:
        """One take as a field of a multipart form."""
        path = f"/v1/households/{self.client.household}/people/{self.person}/enrollments/{enrollment}/takes"
        files = {"audio": ("take", content, kind)}
        _accepted(self.client.send(answering(TakeResult, "POST", path, files=files)))


@dataclass
class House:
    """A household on a server that runs."""

    server: Server
    owner: Client
    members: list[Member] = field(default_factory=list)

    @classmethod
    def first(cls, server: Server) -> "House":
        """The one that the first start made."""
        return cls(server, server.client(server.ready["owner_token"]))

    @classmethod
    def another(cls, server: Server, admin: Client) -> "House":
        """A new one, with a token for its owner."""
        home = admin.create_household("Another")
        maker = Client(server.url, server.ready["admin_token"], home.id)
        return cls(server, server.client(maker.mint_token("owner", "proof").token))

    def joins(self, name: str, speaker: str) -> Member:
        """Enter a person and sign them in."""
        person = self.owner.add_person(name).id
        session = self.owner.sign_in(self.owner.invite(person).code)
        member = Member(name, speaker, person, self.server.client(session.token))
        self.members.append(member)
        return member

    def enrolled(self, name: str, speaker: str, say: Say = made_up) -> Member:
        """Join, agree to everything, enroll."""
        member = self.joins(name, speaker)
        member.grants(*ALL)
        member.enrolls(say)
        return member

    def named(self, content: bytes) -> str | None:
        """Whom the household hears; None: nobody."""
        person = self.owner.recognize(content).person
        return person.id if person else None

    def close(self) -> None:
        for member in self.members:
            member.client.close()
        self.owner.close()


def _accepted(result: TakeResult) -> None:
    if not result.accepted:
        raise RuntimeError(f"a take was refused: {result.reasons}")
