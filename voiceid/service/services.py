"""Everything that routes may use, by its port. Only `wiring.py` builds one."""

from dataclasses import dataclass
from typing import cast

from starlette.requests import HTTPConnection

from voiceid.ports import Consents, Enrollments, Exports, Forgetting, Invitations, Retention, Reviews
from voiceid.recognize import Recognizer
from voiceid.service.metrics import Metrics
from voiceid.service.pool import EncoderPool
from voiceid.service.stream import OpenStreams
from voiceid.settings import Settings
from voiceid.speech import VoiceActivity
from voiceid.store.people import Households, People
from voiceid.store.pins import Pins
from voiceid.store.responses import OwnResponses
from voiceid.store.store import Store
from voiceid.store.tokens import Tokens
from voiceid.store.traces import Traces
from voiceid.store.voiceprints import VoiceprintShelf


@dataclass(frozen=True)
class Services:
    """One installation, wired."""

    settings: Settings
    store: Store
    households: Households
    people: People
    tokens: Tokens
    pins: Pins
    invitations: Invitations
    consents: Consents
    enrollments: Enrollments
    forgetting: Forgetting
    exports: Exports
    reviews: Reviews
    retention: Retention
    recognizer: Recognizer
    voice_activity: VoiceActivity
    voiceprints: VoiceprintShelf
    traces: Traces
    responses: OwnResponses
    pool: EncoderPool
    streams: OpenStreams
    metrics: Metrics

    def check(self) -> None:
        """Use database and key store once.

        Raises: StoreUnavailable, KeysUnavailable.
        """
        with self.store.database.reader() as tx:
            tx.exec_driver_sql("SELECT 1")
        self.store.keys.signing_key()

    def close(self) -> None:
        """Give back threads and connections."""
        self.pool.close()
        self.store.database.close()


def services_of(connection: HTTPConnection) -> Services:
    """The services of the app that a request came to."""
    return cast("Services", connection.app.state.services)
