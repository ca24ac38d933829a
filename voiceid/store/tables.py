"""Every table, with what each column holds. The household comes first in every key: partitions follow it.

Each column says its category; the record of processing and the erasure tests read it from here.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    Dialect,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    exists,
    literal,
)  # fmt: skip
from sqlalchemy.types import DateTime, TypeDecorator

metadata = MetaData()


class Utc(TypeDecorator[datetime]):
    """A moment in UTC; SQLite would drop the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 SQLAlchemy's
        """Refuse a moment without a zone: it could be anybody's time."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a moment needs its zone")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 same
        if value is None or value.tzinfo is None:
            return value and value.replace(tzinfo=UTC)
        return value.astimezone(UTC)


def _kind(category: str, column_type: Any) -> Callable[..., Column[Any]]:
    def column(name: str, *, null: bool = False, key: bool = False) -> Column[Any]:
        return Column(name, column_type, nullable=null, primary_key=key, info={"category": category})

    return column


ident = _kind("pseudonymous id", String(64))
sealed = _kind("personal, encrypted under its own key", LargeBinary)
key_ref = _kind("reference to a key", String(64))
moment = _kind("time", Utc)
word = _kind("operational", String(64))
text = _kind("household's own text", Text)
number = _kind("operational", Integer)
measure = _kind("operational", Float)
digest = _kind("digest", LargeBinary)
record = _kind("operational", Text)


def of_person() -> ForeignKeyConstraint:
    """Nothing of a person can be written once the person is gone."""
    return ForeignKeyConstraint(["household_id", "person_id"], ["person.household_id", "person.person_id"])


def of_household() -> ForeignKeyConstraint:
    """A row that goes with its household."""
    return ForeignKeyConstraint(["household_id"], ["household.household_id"])


installation = Table(
    "installation", metadata,
    ident("installation_id", key=True),  # the key store states the same; another one's keys are refused
)

admin_token = Table(
    "admin_token", metadata,
    ident("token_id", key=True),
    digest("digest"),
    moment("created_at"),
    UniqueConstraint("digest"),
)

household = Table(
    "household", metadata,
    ident("household_id", key=True),
    number("epoch"),  # raised by whatever changes who may be found
    key_ref("key_id"),
    sealed("sealed"),  # name, locale
    moment("created_at"),
)

person = Table(
    "person", metadata,
    ident("household_id"), ident("person_id"),
    word("kind"),
    key_ref("key_id"), sealed("sealed"),  # display name, locale, preferences
    number("verify_by_device"),  # 1: devices may verify this person
    moment("created_at"),
    PrimaryKeyConstraint("household_id", "person_id"), of_household(),
    CheckConstraint("kind IN ('adult', 'child')", name="kind_known"),
)

guardian = Table(
    "guardian", metadata,
    ident("household_id"), ident("person_id"), ident("guardian_id"),
    moment("created_at"),
    PrimaryKeyConstraint("household_id", "person_id", "guardian_id"), of_person(),
    ForeignKeyConstraint(["household_id", "guardian_id"], ["person.household_id", "person.person_id"]),
)

token = Table(
    "token", metadata,
    ident("household_id"), ident("token_id"),
    word("role"), digest("digest"),
    ident("person_id", null=True),  # whose session
    word("skill", null=True),
    text("label"),
    moment("created_at"), moment("expires_at", null=True),
    PrimaryKeyConstraint("household_id", "token_id"), UniqueConstraint("household_id", "digest"),
    of_household(), of_person(),
    CheckConstraint("role IN ('owner', 'person', 'device', 'skill')", name="role_known"),
)

invitation = Table(
    "invitation", metadata,
    ident("household_id"), ident("invitation_id"),
    ident("person_id", null=True),  # null: whoever started the service, as the household's owner
    digest("digest"), moment("created_at"), moment("expires_at"),
    PrimaryKeyConstraint("household_id", "invitation_id"), UniqueConstraint("household_id", "digest"),
    of_household(), of_person(),
)

ledger = Table(  # append-only; no foreign key: it outlives the erased person
    "ledger", metadata,
    ident("household_id"), number("seq"), moment("at"),
    word("event"),
    ident("person_id", null=True),
    word("purpose", null=True),
    word("wording", null=True),  # sha256 of the text that was shown
    word("policy_version", null=True),
    word("retention", null=True),
    moment("expires_at", null=True),
    digest("commitment", null=True),  # salted by the record's key: meaningless once that is destroyed
    digest("chain"),  # sha256(previous chain, this row)
    PrimaryKeyConstraint("household_id", "seq"),
    Index("ledger_by_person", "household_id", "person_id", "purpose", "event", "seq"),
)

consent_record = Table(
    "consent_record", metadata,
    ident("household_id"), ident("record_id"), ident("person_id"),
    number("seq"),  # its place in the ledger
    key_ref("key_id"), sealed("sealed"),  # language, method, who gave it
    moment("created_at"),
    PrimaryKeyConstraint("household_id", "record_id"), of_person(),
)

activity = Table(  # append-only
    "activity", metadata,
    ident("household_id"), number("seq"), moment("at"),
    word("actor"), word("action"),
    ident("person_id", null=True),
    record("why", null=True),
    digest("chain"),
    PrimaryKeyConstraint("household_id", "seq"),
    Index("activity_by_person", "household_id", "person_id", "seq"),
)

enrollment = Table(
    "enrollment", metadata,
    ident("household_id"), ident("enrollment_id"), ident("person_id"),
    word("language"), word("encoder"),
    moment("created_at"), moment("expires_at"),
    PrimaryKeyConstraint("household_id", "enrollment_id"), of_person(),
)

take = Table(
    "take", metadata,
    ident("household_id"), ident("take_id"), ident("person_id"), ident("enrollment_id"),
    key_ref("key_id"), sealed("sealed"),  # embedding, seconds of speech
    moment("created_at"),
    PrimaryKeyConstraint("household_id", "take_id"), of_person(),
    ForeignKeyConstraint(
        ["household_id", "enrollment_id"], ["enrollment.household_id", "enrollment.enrollment_id"]
    ),
)

recording = Table(
    "recording", metadata,
    ident("household_id"), ident("recording_id"), ident("person_id"),
    word("kind"),
    key_ref("key_id"), sealed("sealed"),  # FLAC
    measure("duration_s"),
    moment("created_at"), moment("expires_at", null=True),
    PrimaryKeyConstraint("household_id", "recording_id"), of_person(),
    Index("recording_by_person", "household_id", "person_id", "created_at"),
    CheckConstraint("kind IN ('take', 'utterance')", name="recording_kind_known"),
)

voiceprint = Table(
    "voiceprint", metadata,
    ident("household_id"), ident("voiceprint_id"), ident("person_id"),
    word("encoder"),
    key_ref("key_id"), sealed("sealed"),  # float32 (takes, dim)
    number("takes"), measure("cohesion"),
    moment("created_at"), moment("last_used_on"),
    PrimaryKeyConstraint("household_id", "voiceprint_id"), of_person(),
    Index("voiceprint_by_person", "household_id", "person_id"),
)

adaptation = Table(  # a request that became part of a voiceprint; it goes with it
    "adaptation", metadata,
    ident("household_id"), ident("adaptation_id"),  # the id of the interaction that was kept with it, if one was
    ident("person_id"), ident("voiceprint_id"),
    key_ref("key_id"), sealed("sealed"),  # float32 (2, dim)
    moment("created_at"), moment("expires_at"),
    PrimaryKeyConstraint("household_id", "adaptation_id"), of_person(),
    ForeignKeyConstraint(
        ["household_id", "voiceprint_id"], ["voiceprint.household_id", "voiceprint.voiceprint_id"]
    ),
    Index("adaptation_by_person", "household_id", "person_id", "created_at"),
)

interaction = Table(
    "interaction", metadata,
    ident("household_id"), ident("interaction_id"), ident("person_id"),
    ident("recording_id", null=True),
    key_ref("key_id"), sealed("sealed"),  # intent, response, confidence
    moment("created_at"), moment("expires_at", null=True),
    PrimaryKeyConstraint("household_id", "interaction_id"), of_person(),
    Index("interaction_by_person", "household_id", "person_id", "created_at"),
)

transcript = Table(
    "transcript", metadata,
    ident("household_id"), ident("interaction_id"), ident("person_id"),
    key_ref("key_id"), sealed("sealed"),
    moment("created_at"), moment("expires_at", null=True),
    PrimaryKeyConstraint("household_id", "interaction_id"), of_person(),
)

pseudonym = Table(
    "pseudonym", metadata,
    ident("household_id"), ident("pseudonym_id"), ident("person_id"),
    word("skill"), key_ref("key_id"), sealed("sealed"), moment("created_at"),
    PrimaryKeyConstraint("household_id", "pseudonym_id"),
    UniqueConstraint("household_id", "person_id", "skill"), of_person(),
)

review = Table(  # one named reviewer's leave to hear one recording
    "review", metadata,
    ident("household_id"), ident("review_id"), ident("person_id"), ident("recording_id"),
    digest("digest"),
    key_ref("key_id"), sealed("sealed"),  # reviewer, reason
    moment("created_at"), moment("expires_at"),
    PrimaryKeyConstraint("household_id", "review_id"), UniqueConstraint("household_id", "digest"), of_person(),
    ForeignKeyConstraint(["household_id", "recording_id"], ["recording.household_id", "recording.recording_id"]),
)

pin = Table(  # opens a short session on a screen that others use too
    "pin", metadata,
    ident("household_id"), ident("pin_id"), ident("person_id"),
    key_ref("key_id"), sealed("sealed"),  # argon2id
    number("tries"), moment("wait_until", null=True),  # wrong ones since the last right one; none is heard before
    moment("created_at"),
    PrimaryKeyConstraint("household_id", "pin_id"), UniqueConstraint("household_id", "person_id"), of_person(),
)

response_template = Table(
    "response_template", metadata,
    ident("household_id"), word("intent"),
    text("personal"), text("anonymous"),
    PrimaryKeyConstraint("household_id", "intent"), of_household(),
)

purge = Table(  # the tombstones of the data database; no foreign key: it outlives what it erased
    "purge", metadata,
    ident("household_id"), ident("purge_id"),
    ident("person_id", null=True),
    word("state"),
    record("scope"),   # what is to be erased: store names, ids, times
    record("doomed"),  # ids of the keys to destroy, fixed in the first step
    record("found"),   # how many items each store held
    word("actor"), moment("requested_at"), moment("completed_at", null=True),
    record("receipt", null=True),  # compact JWS
    PrimaryKeyConstraint("household_id", "purge_id"),
    CheckConstraint("state IN ('pending', 'destroyed', 'complete')", name="state_known"),
    Index("purge_by_state", "state"), Index("purge_of_household", "household_id", "state"),
)

PERSONAL = (
    take, enrollment, review, recording, adaptation, voiceprint, interaction, transcript, pseudonym,
    consent_record, invitation, token, pin, guardian, person,
)  # fmt: skip
"""Tables that hold something of a person, in the order in which rows can go."""


def spared(table: Table) -> ColumnElement[bool]:
    """Leave out what an unfinished purge is about to shred: from its first step on nobody finds it any more."""
    shredded = exists().where(
        purge.c.household_id == table.c.household_id,
        purge.c.state.in_((literal("pending"), literal("destroyed"))),
        purge.c.doomed.contains(table.c.key_id),
    )
    return ~shredded.correlate(table)
