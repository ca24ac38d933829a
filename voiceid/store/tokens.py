"""Tokens, stored as digests: who is calling, and for which household."""

import hmac
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, select

from voiceid.errors import CodeSpent, NotFound
from voiceid.ports import Actor, Role
from voiceid.store import ids, tables
from voiceid.store.consents import agreed
from voiceid.store.people import kind_of
from voiceid.store.store import Store
from voiceid.types import HUMAN_REVIEW, HouseholdId, PersonId
from voiceid.views import Invited, Session, TokenView

_T, _I, _A = tables.token, tables.invitation, tables.admin_token
_ADMIN = select(_A).where(_A.c.digest == bindparam("asked"))
_TOKEN = select(_T).where(_T.c.household_id == bindparam("household"), _T.c.digest == bindparam("asked"))
"""Built once: every request reads it."""
BY_PIN = "pin"
"""The label of a session on the shared screen."""


class Tokens:
    """Mints, checks and revokes tokens. A person's is never minted: an invitation is redeemed for it."""

    def __init__(self, store: Store, *, session_days: int, invitation_hours: int) -> None:
        self._store = store
        self._session = timedelta(days=session_days)
        self._invitation = timedelta(hours=invitation_hours)

    def who(self, token: str) -> Actor | None:
        """Whose token this is; None for one that is malformed, unknown or expired."""
        parts = ids.parse_token(token)
        if parts is None:
            return None
        if parts.household is None:
            rows = self._store.database.ask(_ADMIN, asked=parts.digest)
            known = rows and hmac.compare_digest(rows[0].digest, parts.digest)
            return Actor("admin", rows[0].token_id) if known else None
        rows = self._store.database.ask(_TOKEN, household=parts.household, asked=parts.digest)
        if not rows:
            with self._store.database.reader() as tx:
                return self._reviewer(tx, parts.household, parts.digest)
        row = rows[0]
        if row.expires_at is not None and row.expires_at <= self._store.now():
            return None
        return Actor(row.role, row.token_id, parts.household, row.person_id and PersonId(row.person_id), row.skill)

    def ends(self, token: str) -> datetime | None:
        """When a session ends by itself; None for a token that does not."""
        parts = ids.parse_token(token)
        if parts is None or parts.household is None:
            return None
        mine = select(_T.c.expires_at).where(_T.c.household_id == parts.household, _T.c.digest == parts.digest)
        with self._store.database.reader() as tx:
            ends: datetime | None = tx.execute(mine).scalar()
        return ends

    def _reviewer(self, tx: Connection, household: HouseholdId, token_digest: bytes) -> Actor | None:
        """A reviewer's token opens one recording, until its day is over or the person has thought better of it."""
        table, now = tables.review, self._store.now()
        mine = select(table).where(
            table.c.household_id == household, table.c.digest == token_digest, tables.spared(table)
        )
        row = tx.execute(mine).first()
        if row is None or row.expires_at <= now:
            return None
        if HUMAN_REVIEW not in agreed(tx, household, PersonId(row.person_id), now):
            return None
        return Actor("reviewer", row.review_id, household, PersonId(row.person_id), recording=row.recording_id)

    def mint_admin(self) -> str:
        """Make the installation's administrator token; shown once."""
        secret = ids.new_secret()
        row = {"token_id": ids.new_id(), "digest": ids.digest(secret), "created_at": self._store.now()}
        with self._store.database.writer() as tx:
            tx.execute(_A.insert().values(**row))
        return ids.token(None, secret)

    def mint(self, household: HouseholdId, role: Role, label: str, skill: str | None = None) -> tuple[TokenView, str]:
        """Make an owner, device or skill token; its text is returned once and kept only as a digest."""
        secret, view = ids.new_secret(), TokenView(ids.new_id(), role, label, self._store.now())
        with self._store.database.writer(household) as tx:
            self._insert(tx, household, view, secret, skill=skill)
        return view, ids.token(household, secret)

    def page(self, household: HouseholdId, after: str, limit: int) -> list[TokenView]:
        mine = select(_T).where(_T.c.household_id == household, _T.c.token_id > after, _T.c.role != "person")
        with self._store.database.reader() as tx:
            rows = tx.execute(mine.order_by(_T.c.token_id).limit(limit)).all()
        return [TokenView(row.token_id, row.role, row.label, row.created_at, row.expires_at) for row in rows]

    def revoke(self, household: HouseholdId, token_id: str) -> None:
        """Make a token useless at once.

        Raises: NotFound.
        """
        with self._store.database.writer(household) as tx:
            gone = tx.execute(delete(_T).where(_T.c.household_id == household, _T.c.token_id == token_id))
            if gone.rowcount == 0:
                raise NotFound("no such token in this household")

    def invite(self, actor: Actor, household: HouseholdId, person: PersonId | None, /) -> Invited:
        """Make a one-time code for a person, or for the owner (None); an older one is void.

        Raises: NotFound.
        """
        secret, invitation, now = ids.new_id(), ids.new_id(), self._store.now()
        expires = now + self._invitation
        with self._store.database.writer(household) as tx:
            if person is not None:
                kind_of(tx, household, person)
            tx.execute(delete(_I).where(_I.c.household_id == household, _I.c.person_id.is_not_distinct_from(person)))
            row = {"household_id": household, "invitation_id": invitation, "person_id": person}
            tx.execute(_I.insert().values(**row, digest=ids.digest(secret), created_at=now, expires_at=expires))
            self._store.note(tx, actor, household, "invited" if person else "owner invited", person)
        return Invited(invitation, ids.pair(household, secret), expires)

    def redeem(self, code: str, /) -> Session:
        """Turn an invitation into a session; earlier sessions of that person are signed out, an owner's are not.

        Raises: CodeSpent.
        """
        now = self._store.now()
        try:
            household, secret = ids.unpair(code)
            with self._store.database.writer(household) as tx:
                here = and_(_I.c.household_id == household, _I.c.digest == ids.digest(secret))
                row: Any = tx.execute(select(_I).where(here)).first()
                if row is None or row.expires_at <= now:
                    raise CodeSpent
                tx.execute(delete(_I).where(here))
                if row.person_id is None:
                    return self._open_owner_session(tx, household, now)
                kind_of(tx, household, PersonId(row.person_id))
                return self._open_session(tx, household, PersonId(row.person_id), now)
        except (LookupError, NotFound):
            raise CodeSpent from None

    def open_beside(
        self, tx: Connection, household: HouseholdId, person: PersonId, lasting: timedelta
    ) -> Session:
        """Open a short session on the shared screen, in the caller's transaction; other sessions go on."""
        now = self._store.now()
        secret, view = ids.new_secret(), TokenView(ids.new_id(), "person", BY_PIN, now, now + lasting)
        self._insert(tx, household, view, secret, person=person)
        actor = Actor("person", view.id, household, person)
        self._store.note(tx, actor, household, "signed in", person, "with the PIN")
        return Session(ids.token(household, secret), household, person, now + lasting)

    def sign_out(self, actor: Actor) -> None:
        """End this session: revoke the token that opened with it."""
        if actor.household is not None:
            self.revoke(actor.household, actor.id)

    def _open_owner_session(self, tx: Connection, household: HouseholdId, now: datetime) -> Session:
        secret, view = ids.new_secret(), TokenView(ids.new_id(), "owner", "page", now, now + self._session)
        self._insert(tx, household, view, secret)
        self._store.note(tx, Actor("owner", view.id, household), household, "owner signed in", None)
        return Session(ids.token(household, secret), household, None, now + self._session)

    def _open_session(self, tx: Connection, household: HouseholdId, person: PersonId, now: datetime) -> Session:
        mine = and_(_T.c.household_id == household, _T.c.person_id == person, _T.c.role == "person")
        ended = tx.execute(delete(_T).where(mine)).rowcount
        secret, view = ids.new_secret(), TokenView(ids.new_id(), "person", "", now, now + self._session)
        self._insert(tx, household, view, secret, person=person)
        actor = Actor("person", view.id, household, person)
        self._store.note(tx, actor, household, "signed in", person, f"{ended} earlier session ended" if ended else "")
        return Session(ids.token(household, secret), household, person, now + self._session)

    def _insert(
        self, tx: Connection, household: HouseholdId, view: TokenView, secret: str, *,
        person: PersonId | None = None, skill: str | None = None,
    ) -> None:
        tx.execute(_T.insert().values(
            household_id=household, token_id=view.id, role=view.role, digest=ids.digest(secret), person_id=person,
            skill=skill, label=view.label, created_at=view.created_at, expires_at=view.expires_at,
        ))


def skills_of(tx: Connection, household: HouseholdId) -> list[str]:
    """The skills that have a token of this household."""
    mine = select(_T.c.skill).where(_T.c.household_id == household, _T.c.role == "skill").distinct()
    return [skill for skill in tx.execute(mine.order_by(_T.c.skill)).scalars() if skill]
