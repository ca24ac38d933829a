"""Ada says no, then yes; Ben and Cleo join; guests come and go; a consent runs out; Ben takes everything back."""

import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from voiceid import jws
from voiceid.client import Client
from voiceid.demo.cast import ADA, BEN, CLEO, ENROLL, GUESTS, INTENTS, MEMBERS, REQUESTS, Markers, Voice
from voiceid.demo.server import SERVE, Home, new_home
from voiceid.demo.steps import Report, Script, Show
from voiceid.errors import ReceiptInvalid, VoiceIdError
from voiceid.scan import Finding, Marker, Scanner
from voiceid.types import PersonId
from voiceid.views import Answer, ConsentDecision, Receipt

_PURPOSES = ("save_recordings", "voice_id", "transcripts")
_CITY, _MUSIC = "Lisbon", "piano trios"
_RUNS_OUT_S = 3


@dataclass(frozen=True, slots=True)
class Member:
    """A person of the household, signed in."""

    voice: Voice
    id: PersonId
    client: Client


def play(show: Show, command: Sequence[str] = SERVE) -> Report:
    """Play the whole story; `command` starts the server."""
    script = Script(show)
    with script.telling(), new_home(command) as home, ExitStack() as clients:
        owner = clients.enter_context(Client(home.url, home.owner_token))
        script.expect("The server runs on this machine alone", "http://127.0.0.1", home.url.rsplit(":", 1)[0])
        Story(script, home, owner, clients).tell()
    return script.report


class Story:
    """The chapters, in order."""

    def __init__(self, script: Script, home: Home, owner: Client, clients: ExitStack) -> None:
        self._script = script
        self._show = script.show
        self._home = home
        self._owner = owner
        self._clients = clients
        self._markers = Markers()
        self._policy = str(owner.policy()["version"])

    def tell(self) -> None:
        """From the first no to the last receipt."""
        ada = self._join(ADA)
        self._ada_says_no(ada)
        self._ada_says_yes(ada)
        ben, cleo = self._join(BEN), self._join(CLEO)
        self._others_join(ben, cleo)
        self._everybody_is_known(ada, ben)
        self._guests_leave_no_trace()
        self._a_yes_runs_out(cleo)
        self._ben_takes_it_back(ben)
        answers = self._requests(ADA, REQUESTS[:2])
        self._script.expect("Ada is known as before", "2 of 2 by name", _by_name(answers, ADA))

    def _ada_says_no(self, ada: Member) -> None:
        self._show.chapter("Ada is asked to save recordings of her voice, and says no")
        record = self._decide(ada, "save_recordings", "denied")
        self._script.expect("Her no is on record", "denied", record)
        self._script.expect("Enrolling without her yes is refused", "consent-missing", self._refusal(ada))
        answers = self._requests(ADA)
        self._show_answers(ADA, answers)
        self._script.expect("She is served, without her name", "6 of 6 anonymous", _anonymous(answers))
        voice = [*self._markers.sounds(ADA, REQUESTS), *self._markers.vectors(ADA, REQUESTS[:1])]
        self._nothing_of("Nothing of her voice or words can be found", [*voice, *self._markers.words(ADA)])

    def _ada_says_yes(self, ada: Member) -> None:
        self._show.chapter("Ada reads the wording again, and says yes")
        for purpose in _PURPOSES:
            self._script.expect(f"She agrees to {purpose}", "granted", self._decide(ada, purpose, "granted"))
        self._enroll(ada)
        ada.client.change_person(ada.id, preferences={"city": _CITY})
        vectors = self._markers.vectors(ADA, ENROLL[:1])
        found = self._scan([*self._markers.sounds(ADA, ENROLL), *vectors, *self._markers.name(ADA)])
        kinds = len({finding.marker for finding in found})
        self._script.expect("The scanner sees what is there: takes, voiceprint, name", "6 of 6", f"{kinds} of 6")

    def _others_join(self, *members: Member) -> None:
        self._show.chapter("Ben and Cleo join")
        for member in members:
            for purpose in _PURPOSES:
                self._decide(member, purpose, "granted")
            self._enroll(member)
        people = [[one.display_name, "on" if one.voice_id else "off"] for one in self._owner.every(self._owner.people)]
        self._show.table(["person", "voice ID"], sorted(people))
        self._script.expect("Voice ID is on for", "3 people", f"{sum(on == 'on' for _, on in people)} people")

    def _everybody_is_known(self, ada: Member, ben: Member) -> None:
        self._show.chapter("Everybody is answered personally")
        for voice in MEMBERS:
            answers = self._requests(voice)
            self._show_answers(voice, answers)
            self._script.expect(f"{voice.short} is answered by name", "6 of 6 by name", _by_name(answers, voice))
        ben.client.change_person(ben.id, preferences={"music": _MUSIC})
        for member, intent, theirs in ((ada, "weather", _CITY), (ben, "music", _MUSIC)):
            answer = self._owner.recognize(member.voice.sound(REQUESTS[0]), intent=intent)
            text = answer.response.text
            self._script.expect(f"{member.voice.short}'s answer fits them", theirs, text, ok=theirs in text)

    def _guests_leave_no_trace(self) -> None:
        self._show.chapter("Guests are served like everybody, and leave no trace")
        everything: list[Marker] = []
        for guest in GUESTS:
            answers = self._requests(guest)
            if guest is GUESTS[0]:
                self._show_answers(guest, answers)
            stored = sum(answer.stored for answer in answers)
            found = f"{_anonymous(answers)}, {stored} stored"
            self._script.expect(f"{guest.short} is served", "6 of 6 anonymous, 0 stored", found)
            everything += self._markers.sounds(guest, REQUESTS) + self._markers.vectors(guest, REQUESTS[:1])
            everything += self._markers.words(guest) + self._markers.name(guest)
        self._nothing_of("Nothing of any guest can be found", everything)

    def _a_yes_runs_out(self, cleo: Member) -> None:
        self._show.chapter("Cleo's yes was for a while only, and runs out")
        ends = datetime.now(UTC) + timedelta(seconds=_RUNS_OUT_S)
        self._decide(cleo, "voice_id", "granted", ends)
        ticks = 20
        with self._show.waiting("waiting for the end of Cleo's consent", ticks) as tick:
            for _ in range(ticks):
                time.sleep((_RUNS_OUT_S + 0.2) / ticks)
                tick()
        answers = self._requests(CLEO)
        self._script.expect("Cleo is no longer named", "6 of 6 anonymous", _anonymous(answers))

    def _ben_takes_it_back(self, ben: Member) -> None:
        self._show.chapter("Ben takes everything back")
        voice = self._markers.sounds(BEN, ENROLL + REQUESTS) + self._markers.vectors(BEN, ENROLL)
        his = [*voice, *self._markers.words(BEN), *self._markers.name(BEN)]
        before = {finding.marker for finding in self._scan(his)}
        self._script.expect("Before: what the scanner finds of him", f"{len(his)} things", f"{len(before)} things")
        copy = shutil.copytree(self._home.folder / "data", self._home.folder / "copy")
        self._show.tell(f"A copy of the data is put aside, as a backup would: {copy.name}/")
        receipt = ben.client.withdraw_all(ben.id)
        self._show_receipt(receipt)
        self._script.expect("He withdraws; the receipt says", "complete, 0 left", _outcome(receipt))
        answers = self._requests(BEN)
        self._show_answers(BEN, answers)
        self._script.expect("He is anonymous at once", "6 of 6 anonymous", _anonymous(answers))
        self._nothing_of("Nothing of his voice or words is left, the copy included", his[:-1])
        gone = self._owner.delete_person(ben.id)
        self._script.expect("He leaves the household; the receipt says", "complete, 0 left", _outcome(gone))
        self._nothing_of("Nothing of him is left, not even his name", his)
        self._receipts_verify(receipt, gone)

    def _receipts_verify(self, *receipts: Receipt) -> None:
        keys = self._owner.keys()["keys"]  # from here on nothing of the service is needed
        for receipt, name in zip(receipts, ("withdrawal", "leaving"), strict=True):
            self._script.expect(f"The receipt of his {name} verifies", "valid", _verdict(receipt.jws or "", keys))
        head, _, rest = (receipts[0].jws or "..").partition(".")
        forged = f"{head}.{rest[:20]}{'A' if rest[20:21] != 'A' else 'B'}{rest[21:]}"
        self._script.expect("A receipt that was changed does not", "receipt-invalid", _verdict(forged, keys))

    def _join(self, voice: Voice) -> Member:
        """The owner invites, the person redeems: nobody else can ever agree in their name."""
        person = self._owner.add_person(voice.name).id
        with Client(self._home.url) as door:
            session = door.sign_in(self._owner.invite(person).code)
        return Member(voice, person, self._clients.enter_context(Client(self._home.url, session.token)))

    def _decide(self, member: Member, purpose: str, word: str, ends: datetime | None = None) -> str:
        said = ConsentDecision("granted", self._policy, "en", "screen", expires_at=ends)
        decision = said if word == "granted" else replace(said, decision="denied")
        return member.client.decide(member.id, purpose, decision).change

    def _refusal(self, member: Member) -> str:
        try:
            member.client.start_enrollment(member.id)
        except VoiceIdError as error:
            return error.code
        return "it began"

    def _enroll(self, member: Member) -> None:
        started = member.client.start_enrollment(member.id)
        rows = []
        with self._show.waiting(f"{member.voice.short} reads four sentences", len(ENROLL)) as tick:
            for clip in ENROLL:
                take = member.client.add_take(member.id, started.id, member.voice.sound(clip))
                seconds = f"{take.progress.speech_s:.1f} of {take.progress.speech_needed_s:.0f} s"
                rows.append([clip, "yes" if take.accepted else take.advice, seconds])
                tick()
        self._show.table(["take", "accepted", "speech so far"], rows)
        made = member.client.complete_enrollment(member.id, started.id)
        self._script.expect(f"{member.voice.short} is enrolled from", "4 takes", f"{made.takes} takes")

    def _requests(self, voice: Voice, clips: Sequence[str] = REQUESTS) -> list[Answer]:
        """Let somebody ask; whoever sends the sound does not know who it is."""
        answers = []
        with self._show.waiting(f"{voice.short} asks", len(clips)) as tick:
            for clip in clips:
                words, intent = voice.words(clip), INTENTS[clip]
                answers.append(self._owner.recognize(voice.sound(clip), intent=intent, transcript=words))
                tick()
        return answers

    def _show_answers(self, voice: Voice, answers: list[Answer]) -> None:
        rows = [
            [INTENTS[clip], answer.response.text, answer.reason, "yes" if answer.stored else "no"]
            for clip, answer in zip(REQUESTS, answers, strict=True)
        ]
        self._show.table([f"{voice.short} asks for", "answer", "reason", "stored"], rows)

    def _scan(self, markers: list[Marker]) -> list[Finding]:
        with self._show.waiting("looking into every file, with every key", 1) as tick:
            found = Scanner(markers).scan([self._home.folder])
            tick()
        return found

    def _nothing_of(self, name: str, markers: list[Marker]) -> None:
        found = self._scan(markers)
        if found:
            rows = [[finding.marker, finding.where, finding.how] for finding in found[:12]]
            self._show.table(["found", "where", "how"], rows)
        things = len({finding.marker for finding in found})
        self._script.expect(name, f"0 of {len(markers)}", f"{things} of {len(markers)}")

    def _show_receipt(self, receipt: Receipt) -> None:
        rows = [[count.store, str(count.found), str(count.left)] for count in receipt.stores]
        self._show.table(["store", "erased", "left"], rows)


def _by_name(answers: list[Answer], voice: Voice) -> str:
    named = sum(answer.person is not None and answer.person.display_name == voice.name for answer in answers)
    return f"{named} of {len(answers)} by name"


def _anonymous(answers: list[Answer]) -> str:
    unnamed = sum(answer.mode == "anonymous" and answer.person is None for answer in answers)
    return f"{unnamed} of {len(answers)} anonymous"


def _outcome(receipt: Receipt) -> str:
    return f"{receipt.state}, {sum(count.left for count in receipt.stores)} left"


def _verdict(signed: str, keys: list[dict[str, str]]) -> str:
    try:
        jws.verify(signed, keys)
    except ReceiptInvalid as invalid:
        return invalid.code
    return "valid"
