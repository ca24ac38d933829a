"""Human review: one recording, one named reviewer, one stated reason, for a day; the person grants and sees each."""

from datetime import timedelta

from sqlalchemy import select

from voiceid.errors import ConsentMissing, NotFound
from voiceid.ports import Actor
from voiceid.store import consents, ids, tables
from voiceid.store.biometrics import Owner
from voiceid.store.store import Store
from voiceid.types import HUMAN_REVIEW, HouseholdId, PersonId
from voiceid.views import ReviewGrant

OPEN_FOR = timedelta(days=1)


class ReviewGrants:
    """`Reviews`: a token that opens one recording and nothing else."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def grant(
        self, actor: Actor, household: HouseholdId, person: PersonId, recording: str, reviewer: str, reason: str
    ) -> ReviewGrant:
        """Let a reviewer hear one recording; an earlier grant for it ends.

        Raises: ConsentMissing, without `human_review`; NotFound.
        """
        owner, review, secret = Owner(household, person), ids.new_id(), ids.new_secret()
        heard, grants = tables.recording, tables.review
        with self._store.database.writer(household) as tx:
            now = self._store.now()
            if HUMAN_REVIEW not in consents.agreed(tx, household, person, now):
                raise ConsentMissing(f"not agreed to: {HUMAN_REVIEW}", missing=[str(HUMAN_REVIEW)])
            there = select(heard.c.recording_id).where(
                heard.c.household_id == household, heard.c.person_id == person, heard.c.recording_id == recording,
                tables.spared(heard),
            )
            if tx.execute(there).first() is None:
                raise NotFound("no such recording")
            earlier = grants.c.household_id == household, grants.c.recording_id == recording
            ended = tx.execute(select(grants.c.key_id).where(*earlier)).scalars().all()
            tx.execute(grants.delete().where(*earlier))
            about = {"reviewer": reviewer, "reason": reason}
            sealed = self._store.vault.seal_json(owner.place("review", review), about)
            tx.execute(grants.insert().values(
                **owner.row, review_id=review, recording_id=recording, digest=ids.digest(secret),
                key_id=sealed.key_id, sealed=sealed.sealed, created_at=now, expires_at=now + OPEN_FOR,
            ))
            self._store.note(tx, actor, household, "review granted", person, review)
        self._store.keys.destroy(ended)
        return ReviewGrant(review, recording, reviewer, reason, ids.token(household, secret), now + OPEN_FOR)
