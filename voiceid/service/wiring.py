"""Builds every object once and connects them: the only place that knows all parts, the only importer of enrollment."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from enrollment.adapt import Adapter
from enrollment.due import Calendar, Spans
from enrollment.export import Exporter
from enrollment.grant import Grants
from enrollment.keep import RequestKeeper
from enrollment.purge import Purge
from enrollment.receipt import Signer
from enrollment.reembed import CarriedOver, reembed
from enrollment.retain import Retainer
from enrollment.review import ReviewGrants
from enrollment.revoke import Forgetter
from enrollment.share import PairwisePseudonyms
from enrollment.take import Takes
from enrollment.template import Enroller
from voiceid.calibration import Bars
from voiceid.consent import OPENS_THE_GATE
from voiceid.encode import open_encoder
from voiceid.errors import KeysMisplaced, NotFound, VoiceIdError
from voiceid.failpoint import reach
from voiceid.match import Indexes
from voiceid.memory import give_back
from voiceid.onnx import hand_back
from voiceid.policy import Bounds
from voiceid.ports import SYSTEM, Clock, Encoder
from voiceid.ports import SpeechCheck as SpeechCheckPort
from voiceid.recognize import Recognizer
from voiceid.respond import Responder
from voiceid.service.early import Networks
from voiceid.service.metrics import Metrics
from voiceid.service.pool import EncoderPool
from voiceid.service.services import Services
from voiceid.service.stream import OpenStreams
from voiceid.settings import Settings
from voiceid.speech import SpeechCheck, VoiceActivity
from voiceid.store.consents import ConsentBook
from voiceid.store.database import Database
from voiceid.store.keys import FileKeyStore, inside
from voiceid.store.people import Households, People
from voiceid.store.pins import Pins
from voiceid.store.responses import OwnResponses
from voiceid.store.store import Store, epochs_of, utc_now
from voiceid.store.tokens import Tokens
from voiceid.store.traces import Traces
from voiceid.store.vault import Vault
from voiceid.store.voiceprints import VoiceprintShelf
from voiceid.types import HouseholdId

_WAITING = 40
_RETAIN_EVERY_S = 600
_LET_GO_EVERY_S = 30
_log = logging.getLogger(__name__)


def open_store(settings: Settings, now: Clock = utc_now) -> Store:
    """Open database and key store, which must belong together.

    Raises: KeysMisplaced, KeysUnavailable, StoreUnavailable.
    """
    if settings.database_url is None and inside(settings.keys_dir, settings.data_dir):
        raise KeysMisplaced
    url = settings.database_url
    database = Database(url) if url else Database.in_directory(settings.data_dir)
    with database.installation() as (installation, new):
        keys = FileKeyStore(settings.keys_dir, installation=installation, create=new)
    return Store(database, Vault(keys), now)


def replay_tombstones(settings: Settings) -> int:
    """After something was put back: carry out again what was purged since, in the data and in the key store.

    Raises: what keeps it from being done; the service must not start then.
    """
    store = open_store(settings)
    try:
        purge = Purge(store, Signer(store.keys.signing_key()))
        replayed = purge.replay()
        reach("restore.replayed")
        purge.resume()
    finally:
        store.database.close()
    return replayed


def build(
    settings: Settings, *, now: Clock = utc_now, encoder: Encoder | None = None, check: SpeechCheckPort | None = None,
    bars: Bars | None = None, networks: Networks | None = None,
) -> Services:
    """Wire one installation. Clock, encoder with its bars, and speech check can be replaced at their ports.

    `networks`, where there are any, are loading already.
    """
    store = open_store(settings, now)
    encoder = encoder or (networks.encoder() if networks else open_encoder(settings.encoder, settings.models_dir))
    voice_activity = networks.voice_activity() if networks else VoiceActivity.shipped()
    check = check or SpeechCheck(voice_activity)
    voiceprints = VoiceprintShelf(store)
    bars = bars or Bars.shipped(encoder.model_id, settings.policy)
    indexes = Indexes(voiceprints, encoder.model_id, encoder.dim, at_most=settings.index_cache, bars=bars)
    signer = Signer(store.keys.signing_key())
    purge = Purge(store, signer, [indexes])
    purge.replay()  # a restored backup must not bring anybody back; what cannot be replayed stops the start
    purge.resume()
    forgetting = Forgetter(store, purge, signer, settings.consent_rule)
    takes = Takes(store, purge, encoder, check, bars, settings.consent_rule, settings.enrollment_minutes)
    tokens = Tokens(store, session_days=settings.session_days, invitation_hours=settings.invitation_hours)
    homes, members, responses = Households(store), People(store), OwnResponses(store)
    recognizer = Recognizer(
        check=check,
        encoder=encoder,
        consents=ConsentBook(store),
        indexes=indexes,
        bars=bars,
        profiles=members,
        responder=Responder(responses, lambda household: homes.get(household).locale, now),
        keeper=RequestKeeper(store, Adapter(store, purge, encoder, bars, settings.consent_rule)),
        pseudonyms=PairwisePseudonyms(store),
        purposes=OPENS_THE_GATE[settings.consent_rule],
    )
    return Services(
        settings=settings,
        store=store,
        households=homes,
        people=members,
        tokens=tokens,
        pins=Pins(store, tokens, session_minutes=settings.pin_session_minutes),
        invitations=tokens,
        consents=Grants(store, forgetting, _spans(settings).kept, ask_again_days=settings.ask_again_days),
        enrollments=Enroller(store, purge, encoder, takes, voiceprints, bars),
        forgetting=forgetting,
        exports=Exporter(store, purge, settings.jurisdiction),
        reviews=ReviewGrants(store),
        retention=Retainer(store, purge, takes, forgetting, _spans(settings)),
        recognizer=recognizer,
        voice_activity=voice_activity,
        voiceprints=voiceprints,
        traces=Traces(store),
        responses=responses,
        pool=EncoderPool(settings.encoders, settings.queue),
        streams=OpenStreams(settings.live, settings.live_per_household),
        metrics=Metrics(),
    )


def overdue(settings: Settings, store: Store) -> dict[str, int]:
    """How many items of each kind time should have erased long ago: the clock has not come by for some rounds."""
    return Calendar(store, _spans(settings)).overdue(timedelta(seconds=6 * _RETAIN_EVERY_S))


def _spans(settings: Settings) -> Spans:
    kept = Bounds(settings.recording_days, settings.transcript_days)
    return Spans(timedelta(days=settings.idle_voiceprint_days), timedelta(days=settings.voiceprint_days), kept)


@dataclass(frozen=True, slots=True)
class FirstStart:
    """What a new installation hands to whoever started it, once."""

    household: HouseholdId
    admin_token: str
    owner_token: str


def first_start(services: Services) -> FirstStart | None:
    """Make the first household with its tokens; None if there is one already."""
    if services.households.page("", 1):
        return None
    home = services.households.create("Home", services.settings.locale)
    _, owner = services.tokens.mint(home.id, "owner", "first owner")
    return FirstStart(home.id, services.tokens.mint_admin(), owner)


def sign_in_code(services: Services) -> str:
    """A one-time code that makes whoever holds it the owner of the first household; `voiceid serve` prints its link.

    Raises: NotFound, when there is no household yet.
    """
    homes = services.households.page("", 1)
    if not homes:
        raise NotFound("there is no household yet")
    return services.invitations.invite(SYSTEM, homes[0].id, None).code


def use_model(settings: Settings, name: str) -> CarriedOver:
    """Make every voiceprint anew with another encoder, from the recordings that were kept.

    A running service goes on with its own encoder until it is started again with `VOICEID_ENCODER`.
    Raises: Uncalibrated, for an encoder that could name nobody; what open_store() and open_encoder() raise.
    """
    encoder = open_encoder(name, settings.models_dir)
    Bars.shipped(encoder.model_id, settings.policy)
    store = open_store(settings)
    purge = Purge(store, Signer(store.keys.signing_key()))
    try:
        return reembed(store, purge, encoder, SpeechCheck.shipped(), settings.consent_rule)
    finally:
        store.database.close()


def drop_stale(services: Services) -> int:
    """Overwrite every index that another process has made stale: a voice withdrawn there must not stay in memory here.

    A search never uses a stale index; but nobody may ever ask again. The number dropped.
    """
    indexes = services.recognizer.indexes
    held = indexes.held()
    epochs = epochs_of(services.store, held)
    stale = [household for household, epoch in held.items() if epochs.get(household) != epoch]
    for household in stale:
        indexes.forget(household)
    return len(stale)


@contextlib.asynccontextmanager
async def alive(services: Services) -> AsyncIterator[None]:
    """Let time do its part for as long as the context lasts: erase what has run out, give back memory. Then close.

    What waits for the database has as many threads as with the web framework: by itself the loop has four and one for
    each core, which a few who ask whether it is ready could hold, and nobody would be signed in.
    """
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_WAITING, thread_name_prefix="waiting"))
    clocks = [asyncio.create_task(clock(services)) for clock in (_keep_time, _let_go)]
    try:
        yield
    finally:
        for clock in clocks:
            clock.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await clock
        services.close()


async def _let_go(services: Services) -> None:
    """Look for stale indexes, and give back free memory, for as long as the service runs."""
    while True:
        await asyncio.sleep(_LET_GO_EVERY_S)
        with contextlib.suppress(VoiceIdError):
            await asyncio.to_thread(drop_stale, services)
        await asyncio.to_thread(hand_back)
        await asyncio.to_thread(give_back)


async def _keep_time(services: Services) -> None:
    """Erase what has run out, and finish what is pending, for as long as the service runs."""
    while True:
        try:
            await asyncio.to_thread(services.forgetting.resume)
            await asyncio.to_thread(services.retention.run)
        except Exception as error:  # noqa: BLE001 the clock must not stop: nothing would be erased any more
            _log.warning("retention will be tried again: %s", type(error).__name__)
        await asyncio.sleep(_RETAIN_EVERY_S)
