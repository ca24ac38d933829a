"""The first tables. Ledger and activity refuse to be changed, whoever asks."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

APPEND_ONLY = ("ledger", "activity")


def upgrade() -> None:
    """Make every table, then shut the append-only ones."""
    _households()
    _ledgers()
    _voices()
    _traces()
    _rest()
    _more()
    _pins()
    _adaptations()
    for table in APPEND_ONLY:
        _append_only(table)


def _households() -> None:
    op.create_table(
        "activity",
        sa.Column("household_id", sa.String(64), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(64), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("household_id", "seq"),
    )
    op.create_index("activity_by_person", "activity", ["household_id", "person_id", "seq"])
    op.create_table(
        "admin_token",
        sa.Column("token_id", sa.String(64), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token_id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_table(
        "household",
        sa.Column("household_id", sa.String(64), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("household_id"),
    )
    op.create_table(
        "installation",
        sa.Column("installation_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("installation_id"),
    )


def _ledgers() -> None:
    op.create_table(
        "ledger",
        sa.Column("household_id", sa.String(64), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(64), nullable=True),
        sa.Column("purpose", sa.String(64), nullable=True),
        sa.Column("wording", sa.String(64), nullable=True),
        sa.Column("policy_version", sa.String(64), nullable=True),
        sa.Column("retention", sa.String(64), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("commitment", sa.LargeBinary(), nullable=True),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("household_id", "seq"),
    )
    op.create_index("ledger_by_person", "ledger", ["household_id", "person_id", "purpose", "event", "seq"])
    op.create_table(
        "purge",
        sa.Column("household_id", sa.String(64), nullable=False),
        sa.Column("purge_id", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(64), nullable=True),
        sa.Column("state", sa.String(64), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("doomed", sa.Text(), nullable=False),
        sa.Column("found", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("receipt", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("household_id", "purge_id"),
        sa.CheckConstraint("state IN ('pending', 'destroyed', 'complete')", name="state_known"),
    )
    op.create_index("purge_by_state", "purge", ["state"])
    op.create_index("purge_of_household", "purge", ["household_id", "state"])
    op.create_table(
        "person",
        sa.Column("household_id", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("verify_by_device", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("household_id", "person_id"),
        sa.CheckConstraint("kind IN ('adult', 'child')", name="kind_known"),
        sa.ForeignKeyConstraint(["household_id"], ["household.household_id"]),
    )


def _voices() -> None:
    op.create_table(
        "response_template",
        sa.Column("household_id", sa.String(64), nullable=False),
        sa.Column("intent", sa.String(64), nullable=False),
        sa.Column("personal", sa.Text(), nullable=False),
        sa.Column("anonymous", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("household_id", "intent"),
        sa.ForeignKeyConstraint(["household_id"], ["household.household_id"]),
    )
    op.create_table(
        "consent_record",
        sa.Column("household_id", sa.String(64), nullable=False),
        sa.Column("record_id", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(64), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("household_id", "record_id"),
        sa.ForeignKeyConstraint(["household_id", "person_id"], ["person.household_id", "person.person_id"]),
    )
    op.create_table(
        "enrollment",
        sa.Column("household_id", sa.String(64), nullable=False),
        sa.Column("enrollment_id", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(64), nullable=False),
        sa.Column("language", sa.String(64), nullable=False),
        sa.Column("encoder", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("household_id", "enrollment_id"),
        sa.ForeignKeyConstraint(["household_id", "person_id"], ["person.household_id", "person.person_id"]),
    )
    op.create_table(
        "guardian",
        sa.Column("household_id", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(64), nullable=False),
        sa.Column("guardian_id", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("household_id", "person_id", "guardian_id"),
        sa.ForeignKeyConstraint(["household_id", "guardian_id"], ["person.household_id", "person.person_id"]),
        sa.ForeignKeyConstraint(["household_id", "person_id"], ["person.household_id", "person.person_id"]),
    )


def _traces() -> None:
    op.create_table(
        "interaction",
        sa.Column("household_id", sa.String(64), nullable=False),
        sa.Column("interaction_id", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(64), nullable=False),
        sa.Column("recording_id", sa.String(64), nullable=True),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("household_id", "interaction_id"),
        sa.ForeignKeyConstraint(["household_id", "person_id"], ["person.household_id", "person.person_id"]),
    )
    op.create_index("interaction_by_person", "interaction", ["household_id", "person_id", "created_at"])
    op.create_table(
        "invitation",
        sa.Column("household_id", sa.String(64), nullable=False),
        sa.Column("invitation_id", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(64), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("household_id", "invitation_id"),
        sa.ForeignKeyConstraint(["household_id", "person_id"], ["person.household_id", "person.person_id"]),
        sa.ForeignKeyConstraint(["household_id"], ["household.household_id"]),
        sa.UniqueConstraint("household_id", "digest"),
    )
    op.create_table(
        "pseudonym",
        sa.Column("household_id", sa.String(64), nullable=False),
        sa.Column("pseudonym_id", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(64), nullable=False),
        sa.Column("skill", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("household_id", "pseudonym_id"),
        sa.ForeignKeyConstraint(["household_id", "person_id"], ["person.household_id", "person.person_id"]),
        sa.UniqueConstraint("household_id", "person_id", "skill"),
    )


def _rest() -> None:
    op.create_table(
        "recording",
        sa.Column("household_id", sa.String(64), nullable=False),
        sa.Column("recording_id", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("duration_s", sa.Float(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("household_id", "recording_id"),
        sa.CheckConstraint("kind IN ('take', 'utterance')", name="recording_kind_known"),
        sa.ForeignKeyConstraint(["household_id", "person_id"], ["person.household_id", "person.person_id"]),
    )
    op.create_index("recording_by_person", "recording", ["household_id", "person_id", "created_at"])
    op.create_table(
        "token",
        sa.Column("household_id", sa.String(64), nullable=False),
        sa.Column("token_id", sa.String(64), nullable=False),
        sa.Column("role", sa.String(64), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("person_id", sa.String(64), nullable=True),
        sa.Column("skill", sa.String(64), nullable=True),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("household_id", "token_id"),
        sa.CheckConstraint("role IN ('owner', 'person', 'device', 'skill')", name="role_known"),
        sa.ForeignKeyConstraint(["household_id", "person_id"], ["person.household_id", "person.person_id"]),
        sa.ForeignKeyConstraint(["household_id"], ["household.household_id"]),
        sa.UniqueConstraint("household_id", "digest"),
    )
    op.create_table(
        "transcript",
        sa.Column("household_id", sa.String(64), nullable=False),
        sa.Column("interaction_id", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("household_id", "interaction_id"),
        sa.ForeignKeyConstraint(["household_id", "person_id"], ["person.household_id", "person.person_id"]),
    )


def _more() -> None:
    op.create_table(
        "voiceprint",
        sa.Column("household_id", sa.String(64), nullable=False),
        sa.Column("voiceprint_id", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(64), nullable=False),
        sa.Column("encoder", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("takes", sa.Integer(), nullable=False),
        sa.Column("cohesion", sa.Float(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_on", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("household_id", "voiceprint_id"),
        sa.ForeignKeyConstraint(["household_id", "person_id"], ["person.household_id", "person.person_id"]),
    )
    op.create_index("voiceprint_by_person", "voiceprint", ["household_id", "person_id"])
    op.create_table(
        "review",
        sa.Column("household_id", sa.String(64), nullable=False),
        sa.Column("review_id", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(64), nullable=False),
        sa.Column("recording_id", sa.String(64), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("household_id", "review_id"),
        sa.ForeignKeyConstraint(["household_id", "person_id"], ["person.household_id", "person.person_id"]),
        sa.ForeignKeyConstraint(["household_id", "recording_id"], ["recording.household_id", "recording.recording_id"]),
        sa.UniqueConstraint("household_id", "digest"),
    )
    op.create_table(
        "take",
        sa.Column("household_id", sa.String(64), nullable=False),
        sa.Column("take_id", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(64), nullable=False),
        sa.Column("enrollment_id", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("household_id", "take_id"),
        sa.ForeignKeyConstraint(
            ["household_id", "enrollment_id"], ["enrollment.household_id", "enrollment.enrollment_id"]
        ),
        sa.ForeignKeyConstraint(["household_id", "person_id"], ["person.household_id", "person.person_id"]),
    )


def _pins() -> None:
    op.create_table(
        "pin",
        sa.Column("household_id", sa.String(64), nullable=False),
        sa.Column("pin_id", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("wait_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("household_id", "pin_id"),
        sa.ForeignKeyConstraint(["household_id", "person_id"], ["person.household_id", "person.person_id"]),
        sa.UniqueConstraint("household_id", "person_id"),
    )


def _adaptations() -> None:
    op.create_table(
        "adaptation",
        sa.Column("household_id", sa.String(64), nullable=False),
        sa.Column("adaptation_id", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(64), nullable=False),
        sa.Column("voiceprint_id", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("household_id", "adaptation_id"),
        sa.ForeignKeyConstraint(["household_id", "person_id"], ["person.household_id", "person.person_id"]),
        sa.ForeignKeyConstraint(
            ["household_id", "voiceprint_id"], ["voiceprint.household_id", "voiceprint.voiceprint_id"]
        ),
    )
    op.create_index("adaptation_by_person", "adaptation", ["household_id", "person_id", "created_at"])


def _append_only(table: str) -> None:
    """Refuse UPDATE and DELETE (and TRUNCATE, where there is one).

    Alembic's batch mode on SQLite drops triggers silently: a later change of these tables must make them anew.
    """
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_refuses() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
    )
    for change, each in (("UPDATE", "ROW"), ("DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
        op.execute(
            f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
            f"FOR EACH {each} EXECUTE FUNCTION {table}_refuses()"
        )
