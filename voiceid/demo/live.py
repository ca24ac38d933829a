"""The same story with whoever stands before the microphone: asked, agreed, enrolled, recognized, forgotten."""

from collections.abc import Callable, Sequence

from voiceid import jws
from voiceid.client import Client
from voiceid.decode import decode
from voiceid.demo.server import SERVE, Home, new_home
from voiceid.demo.steps import Report, Script, Show
from voiceid.microphone import record
from voiceid.scan import Clip, Marker, Scanner
from voiceid.types import PersonId
from voiceid.views import ConsentDecision

_TAKE_S, _REQUEST_S = 7.0, 5.0
_MOST_TAKES = 10

Listen = Callable[[float], bytes]
"""Seconds -> a sound file."""


def play_live(show: Show, command: Sequence[str] = SERVE, listen: Listen = record) -> Report:
    """Play it with a person; at every question they may say no.

    Raises: MissingExtra, when nothing can be recorded; NotFound, without a microphone.
    """
    script = Script(show)
    show.tell("Nothing that you say leaves this machine, and everything is erased at the end.")
    name = show.ask_name()
    first = _heard(show, listen, _REQUEST_S, "Say something to try it: ask for the weather.")
    with script.telling(), new_home(command) as home, Client(home.url, home.owner_token) as owner:
        script.expect("You are not known yet", "anonymous", owner.recognize(first, intent="weather").mode)
        person = owner.add_person(name).id
        with Client(home.url) as door:
            token = door.sign_in(owner.invite(person).code).token
        with Client(home.url, token) as you:
            _Visit(script, home, owner, you, person, listen).go([first])
    return script.report


class _Visit:
    """One person's way through."""

    def __init__(
        self, script: Script, home: Home, owner: Client, you: Client, person: PersonId, listen: Listen
    ) -> None:
        self._script = script
        self._show = script.show
        self._home = home
        self._owner = owner
        self._you = you
        self._person = person
        self._listen = listen

    def go(self, said: list[bytes]) -> None:
        if not self._agree():
            self._nothing_left("You said no, and nothing of your voice is kept", said)
            return
        said += self._enroll()
        said.append(_heard(self._show, self._listen, _REQUEST_S, "Now ask for the weather again."))
        answer = self._owner.recognize(said[-1], intent="weather")
        self._show.tell(answer.response.text)
        self._script.expect("You are answered personally", "personalized", answer.mode)
        found = Scanner(_clips(said)).scan([self._home.folder])
        self._script.expect("What you agreed to is kept", "found", "found" if found else "not found")
        receipt = self._you.withdraw_all(self._person)
        self._script.expect("You take it back; the receipt is", "complete", receipt.state)
        said.append(_heard(self._show, self._listen, _REQUEST_S, "Ask once more."))
        after = self._owner.recognize(said[-1], intent="weather")
        self._show.tell(after.response.text)
        self._script.expect("You are anonymous at once", "anonymous", after.mode)
        self._nothing_left("Nothing of your voice is left", said)
        signed = jws.verify(receipt.jws or "", self._owner.keys()["keys"])
        self._script.expect("Your receipt verifies", receipt.id, signed["id"])

    def _agree(self) -> bool:
        policy = self._owner.policy()
        self._show.tell(f"{policy['without']}\n{policy['withdraw']}")
        for purpose in policy["needed_for_voice_id"]:
            shown = next(one for one in policy["purposes"] if one["purpose"] == purpose)
            self._show.tell(f"{shown['title']}\n{shown['text']}")
            yes = self._show.ask("Do you agree?")
            word = "granted" if yes else "denied"
            decision = ConsentDecision("granted" if yes else "denied", policy["version"], policy["language"], "screen")
            self._script.expect(
                f"Your word on {purpose} is on record", word, self._you.decide(self._person, purpose, decision).change
            )
            if not yes:
                return False
        return True

    def _enroll(self) -> list[bytes]:
        """Read sentences until there is enough; what was refused is said again."""
        started = self._you.start_enrollment(self._person)
        sounds: list[bytes] = []
        prompt: str | None = started.prompts[0]
        while prompt is not None and len(sounds) < _MOST_TAKES:
            sounds.append(_heard(self._show, self._listen, _TAKE_S, f"Please read: {prompt}"))
            take = self._you.add_take(self._person, started.id, sounds[-1])
            self._show.tell(take.advice)
            prompt = take.next_prompt
        made = self._you.complete_enrollment(self._person, started.id)
        self._script.expect("You are enrolled", "4 takes or more", f"{made.takes} takes", ok=made.takes >= 4)  # noqa: PLR2004 what it says
        return sounds

    def _nothing_left(self, name: str, said: list[bytes]) -> None:
        markers = _clips(said)
        found = {finding.marker for finding in Scanner(markers).scan([self._home.folder])}
        self._script.expect(name, f"0 of {len(markers)}", f"{len(found)} of {len(markers)}")


def _clips(said: Sequence[bytes]) -> list[Marker]:
    return [Clip(f"clip {number}", decode(one, max_s=60).samples, (one,)) for number, one in enumerate(said, 1)]


def _heard(show: Show, listen: Listen, seconds: float, what: str) -> bytes:
    show.tell(f"\n{what}")
    with show.waiting(f"listening for {seconds:.0f} s", 1) as tick:
        sound = listen(seconds)
        tick()
    return sound
