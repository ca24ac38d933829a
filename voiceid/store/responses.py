"""A household's own response texts."""

from sqlalchemy import bindparam, delete, select

from voiceid.ports import Actor
from voiceid.store import tables
from voiceid.store.store import Store
from voiceid.types import HouseholdId
from voiceid.views import ResponseTemplate

_R = tables.response_template
_ONE = select(_R).where(_R.c.household_id == bindparam("household"), _R.c.intent == bindparam("wanted"))
"""Built once: every request reads it."""


class OwnResponses:
    """Reads and writes response templates of one household."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def template(self, household: HouseholdId, intent: str, /) -> ResponseTemplate | None:
        """The household's own texts for an intent; None if it has none."""
        rows = self._store.database.ask(_ONE, household=household, wanted=intent)
        return ResponseTemplate(intent, rows[0].personal, rows[0].anonymous) if rows else None

    def put(self, actor: Actor, household: HouseholdId, template: ResponseTemplate) -> None:
        """Replace the texts for one intent; the caller has checked that they render."""
        with self._store.database.writer(household) as tx:
            tx.execute(delete(_R).where(_R.c.household_id == household, _R.c.intent == template.intent))
            tx.execute(_R.insert().values(
                household_id=household, intent=template.intent, personal=template.personal,
                anonymous=template.anonymous,
            ))
            self._store.note(tx, actor, household, "response template changed", None, template.intent)
