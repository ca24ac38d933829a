"""The protocols between the steps.

A step knows its neighbours only by what stands here, so each can be replaced at the outermost port: another encoder,
another database, a clock that a test turns. The results they hand on are in `views.py`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from voiceid.types import (
    Decision,
    Embedding,
    HouseholdId,
    ModelId,
    Pcm,
    PersonId,
    Profile,
    Purpose,
    Speech,
    Unusable,
    Voiceprint,
)
from voiceid.views import (
    ConsentDecision,
    ConsentRecord,
    EnrollmentState,
    Invited,
    PurposeState,
    Receipt,
    ResponseTemplate,
    ResponseText,
    ReviewGrant,
    Session,
    TakeResult,
    VoiceprintView,
)

Clock = Callable[[], datetime]
"""Now, in UTC."""

Role = Literal["admin", "owner", "person", "device", "skill", "reviewer", "system"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does a thing; every access to a person's data names one."""

    role: Role
    id: str
    """Token id, opaque."""
    household: HouseholdId | None = None
    """The only household this actor can reach; None: an administrator, who reaches nobody's data."""
    person: PersonId | None = None
    """Whose session it is; only for the role `person`."""
    skill: str | None = None
    """Which skill it is; only for the role `skill`."""
    recording: str | None = None
    """The one recording that a reviewer may hear."""


SYSTEM = Actor("system", "clock")
"""Time itself: retention, expiry, purges taken up again after a crash."""


class SpeechCheck(Protocol):
    """Sound in; speech that can be judged out, or the reason why not."""

    def __call__(self, pcm: Pcm, /) -> Speech | Unusable: ...


class Encoder(Protocol):
    """Speech in, embedding out. Length is no concern: `Speech` already passed the check."""

    @property
    def model_id(self) -> ModelId:
        """Name and digest of the weights; unlike ids never meet."""
        ...

    @property
    def dim(self) -> int:
        """Length of the embedding: 192 for CAM++ and for ECAPA-TDNN."""
        ...

    def embed(self, speech: Speech, /) -> Embedding: ...


@dataclass(frozen=True, slots=True)
class Gate:
    """One household's consents and epoch, read in one query."""

    household: HouseholdId
    epoch: int
    """Raised by whatever changes who may be found; an index of another epoch is stale."""
    agreed: Mapping[PersonId, frozenset[Purpose]]
    """What each person has granted, unexpired, now. A person who is missing has granted nothing."""
    withheld: bool
    """Somebody said no, or took a yes back."""


class ConsentRecords(Protocol):
    """What the people of a household have agreed to."""

    def gate(self, household: HouseholdId, /) -> Gate:
        """Read consents and epoch together.

        Raises: NotFound, StoreUnavailable.
        """
        ...


class Voiceprints(Protocol):
    """Reads voiceprints; never writes one."""

    def of(self, household: HouseholdId, model_id: ModelId, people: frozenset[PersonId]) -> Sequence[Voiceprint]:
        """Decrypt the voiceprints of these people. A damaged or unreadable row is left out: it can name nobody."""
        ...


class Profiles(Protocol):
    """What people have told about themselves."""

    def profile(self, household: HouseholdId, person: PersonId, /) -> Profile:
        """Read one profile.

        Raises: NotFound.
        """
        ...


class ResponseTemplates(Protocol):
    """A household's own response texts; None: the shipped ones serve."""

    def template(self, household: HouseholdId, intent: str, /) -> ResponseTemplate | None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """How alike enrolled people's voices are to the probe."""

    people: Sequence[PersonId]
    """Each once, in any order."""
    scores: NDArray[np.float64]
    """Cosine of each of them, -1..1, shape (n,); NaN where it could not be told."""

    @classmethod
    def of(cls, scores: Mapping[PersonId, float]) -> Self:
        """Put together what was scored one by one."""
        return cls(tuple(scores), np.array(list(scores.values()), dtype=np.float64))

    def __len__(self) -> int:
        """How many people were compared."""
        return len(self.people)

    def told(self) -> Self:
        """Those whose score is a number."""
        told = np.isfinite(self.scores)
        if told.all():
            return self
        people = tuple(person for person, here in zip(self.people, told, strict=True) if here)
        return type(self)(people, self.scores[told])


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One utterance and what came with it."""

    pcm: Pcm
    intent: str | None = None
    transcript: str | None = None
    locale: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What a name rests on."""

    speech: Speech
    embedding: Embedding
    epoch: int
    """The household's, as it was compared."""
    narrow: bool = False
    """Over a telephone."""


class Keeper(Protocol):
    """Writes what a request may leave behind, and nothing else."""

    def keep(
        self, actor: Actor, household: HouseholdId, request: Request, decision: Decision, said: ResponseText,
        heard: Heard | None = None,
    ) -> bool:
        """Store audio, text and action as far as the named person agreed, and who asked; True if anything was stored.

        With `heard`, it may become part of the person's voiceprint too, if they agreed to that.
        """
        ...


class Pseudonyms(Protocol):
    """A person's name towards one skill."""

    def pseudonym(self, household: HouseholdId, person: PersonId, skill: str, /) -> str | None:
        """The pairwise pseudonym; None unless the person agreed to `share:<skill>`."""
        ...


class Consents(Protocol):
    """Takes a person's yes or no."""

    def states(self, household: HouseholdId, person: PersonId, /) -> list[PurposeState]: ...

    def put(
        self,
        actor: Actor,
        household: HouseholdId,
        person: PersonId,
        purpose: Purpose,
        decision: ConsentDecision,
    ) -> ConsentRecord: ...


class Invitations(Protocol):
    """Brings a person in without ever minting a token for somebody else."""

    def invite(self, actor: Actor, household: HouseholdId, person: PersonId | None, /) -> Invited:
        """Make a one-time code for a person; for None, who started the service becomes the owner with it."""
        ...

    def redeem(self, code: str, /) -> Session: ...


class Enrollments(Protocol):
    """The guided flow from the first take to the voiceprint."""

    def start(self, actor: Actor, household: HouseholdId, person: PersonId, language: str) -> EnrollmentState: ...

    def add_take(
        self, actor: Actor, household: HouseholdId, person: PersonId, enrollment: str, pcm: Pcm
    ) -> TakeResult: ...

    def complete(self, actor: Actor, household: HouseholdId, person: PersonId, enrollment: str) -> VoiceprintView: ...

    def abandon(self, actor: Actor, household: HouseholdId, person: PersonId, enrollment: str) -> None: ...


class Reviews(Protocol):
    """Lets one named reviewer hear one recording; there is no other way for anyone but the person to hear anything."""

    def grant(
        self, actor: Actor, household: HouseholdId, person: PersonId, recording: str, reviewer: str, reason: str
    ) -> ReviewGrant: ...


class Exports(Protocol):
    """Hands a person everything held about them."""

    def export(self, actor: Actor, household: HouseholdId, person: PersonId, why: str = "") -> Iterator[bytes]:
        """A zip in chunks.

        Raises: NotFound, before the first chunk.
        """
        ...


class Retention(Protocol):
    """Time erases."""

    def run(self) -> list[Receipt]:
        """Erase everything that has run out by now."""
        ...


class Forgetting(Protocol):
    """Erases in the order that survives a crash, counts again, and signs."""

    def withdraw(
        self, actor: Actor, household: HouseholdId, person: PersonId, purposes: Sequence[Purpose]
    ) -> Receipt: ...

    def delete_voiceprint(self, actor: Actor, household: HouseholdId, person: PersonId) -> Receipt: ...

    def delete_recording(self, actor: Actor, household: HouseholdId, person: PersonId, recording: str) -> Receipt: ...

    def delete_interactions(
        self,
        actor: Actor,
        household: HouseholdId,
        person: PersonId,
        only: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Receipt: ...

    def not_me(self, actor: Actor, household: HouseholdId, person: PersonId, interaction: str) -> Receipt: ...

    def delete_person(self, actor: Actor, household: HouseholdId, person: PersonId) -> Receipt: ...

    def delete_household(self, actor: Actor, household: HouseholdId) -> Receipt: ...

    def receipt(self, receipt_id: str, /) -> Receipt: ...

    def public_keys(self) -> dict[str, Any]: ...

    def resume(self) -> int:
        """Finish every pending purge; the number finished."""
        ...
