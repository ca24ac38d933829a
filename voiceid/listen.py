"""A stream of chunks -> decisions over time: who is speaking, while they speak, and finally.

An utterance begins with speech and ends after a pause of `HANG_S`. Its final decision is `recognize` on its own sound,
so live and recorded answers cannot differ. Hypotheses rise earlier, only when certain, and never change to another
name.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from voiceid.decode import decode
from voiceid.errors import AudioTooLong, InvalidRequest
from voiceid.ports import Actor, Request
from voiceid.recognize import Guess, Recognizer
from voiceid.speech import ENTER, FRAME, LEAVE, SHORTEST, VoiceActivity, judge
from voiceid.types import SAMPLE_RATE_HZ, HouseholdId, Pcm, PersonId, Speech
from voiceid.views import Decided, Hypothesis, Listening, SpeechEnded, SpeechStarted

CHUNK_MS = (20, 100)
HANG_S = 0.8
"""Pause after which an utterance is over. 6.6 % of the clips of `dev`, half `a`, hold a longer one:
`python -m benchmarks.live ../shared/speech/dev --half a --pauses`."""
LEAD_S = 1.0
"""Sound before the first speech that belongs to the utterance: the pause tells how loud the room is."""
WINDOW_S = 1.5
"""Newest speech that is compared alone, to notice that somebody else goes on speaking without a pause."""
LONGEST_CONNECTION_S = 3600
_FIRST_LOOK_S = 1.0
_STEP_S, _STEP_SHARE = 0.5, 0.3
"""Speech is looked at again when it has grown by so much: looks get rarer, so that all of them together cost a few
times what one look at the whole does."""
_NEAR = 15
"""Frames, half a second: so far around the place where a turn was noticed the pause is looked for."""
_LAST_LOOK_S = 12.0
"""Beyond this the next look waits for the decision."""
_BYTES = 2
_FRAME_S = FRAME / SAMPLE_RATE_HZ
_LEAD = int(LEAD_S * SAMPLE_RATE_HZ / FRAME)
_PCM = f"audio/pcm;rate={SAMPLE_RATE_HZ};encoding=s16le;channels=1"

Event = Listening | SpeechStarted | Hypothesis | SpeechEnded | Decided
Cause = Literal["pause", "end", "too_long", "other_speaker"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the answers of a connection are to be about."""

    intent: str | None = None
    locale: str | None = None
    explain: bool = False


class Listener:
    """One connection's ear. For one thread at a time; nothing of a sound outlives its utterance."""

    def __init__(
        self, recognizer: Recognizer, voice_activity: VoiceActivity, household: HouseholdId, actor: Actor, *,
        longest_s: float, wish: Wish | None = None,
    ) -> None:
        self._recognizer = recognizer
        self._household = household
        self._actor = actor
        self._longest_s = longest_s
        self._wish = wish or Wish()
        self._voice_activity = voice_activity
        self._activity = voice_activity.begin()
        self._tail = b""
        """What is too short for a frame."""
        self._last_chunk = False
        self._utterances = 0
        self._sound = _Sound()
        self._open: _Utterance | None = None

    def begin(self) -> Listening:
        """What a connection is told first."""
        return Listening(rate_hz=SAMPLE_RATE_HZ, chunk_ms=CHUNK_MS, hang_s=HANG_S, longest_s=self._longest_s)

    def hear(self, chunk: bytes) -> Iterator[Event]:
        """Take in 20 to 100 ms of PCM16; only the last chunk may be shorter. Consent is read anew for every event.

        Raises: InvalidRequest, for a chunk of another size; AudioTooLong, when the connection lasts too long.
        """
        self._check(chunk)
        sound = self._tail + chunk
        whole = len(sound) // (FRAME * _BYTES) * FRAME * _BYTES
        self._tail = sound[whole:]
        samples = np.frombuffer(chunk, "<i2").astype(np.float32) / np.float32(2**15)
        for at, probability in enumerate(self._activity(samples).tolist()):
            frame = sound[at * FRAME * _BYTES : (at + 1) * FRAME * _BYTES]
            yield from self._step(frame, probability)

    def end(self) -> Iterator[Event]:
        """No more sound for now: decide on what was heard, then say that it goes on listening."""
        if self._open is not None:
            yield from self._close("end", self._tail)
        self._sound = _Sound(self._sound.stop + len(self._tail) // _BYTES)
        self._last_chunk, self._tail = False, b""
        self._activity = self._voice_activity.begin()
        yield self.begin()

    def _check(self, chunk: bytes) -> None:
        shortest, longest = (ms * SAMPLE_RATE_HZ * _BYTES // 1000 for ms in CHUNK_MS)
        if self._last_chunk or len(chunk) % _BYTES or not 0 < len(chunk) <= longest:
            raise InvalidRequest(f"chunk: {CHUNK_MS[0]} to {CHUNK_MS[1]} ms of 16-bit samples at {SAMPLE_RATE_HZ} Hz")
        self._last_chunk = len(chunk) < shortest
        if self._sound.stop > LONGEST_CONNECTION_S * SAMPLE_RATE_HZ:
            raise AudioTooLong("this connection has lasted long enough: open another", max_s=LONGEST_CONNECTION_S)

    def _step(self, frame: bytes, probability: float) -> Iterator[Event]:
        self._sound.add(frame, probability)
        if self._open is None:
            if self._sound.run >= SHORTEST:
                yield self._begin_utterance(min(self._sound.run, len(self._sound.frames)))
            elif not self._sound.run:
                self._sound.keep(_LEAD)
        elif not self._sound.run and self._sound.silent * _FRAME_S >= HANG_S:
            yield from self._close("pause")
        elif len(self._sound.frames) * _FRAME_S >= self._longest_s:
            yield from self._close("too_long")
        elif self._sound.speech * _FRAME_S >= self._open.next_look_s:
            yield from self._look(self._open)

    def _begin_utterance(self, ago: int) -> SpeechStarted:
        """Open an utterance whose speech began so many frames ago."""
        self._sound.keep(ago + _LEAD)
        self._sound.speech = ago
        self._utterances += 1
        self._open = _Utterance(self._utterances)
        return SpeechStarted(utterance=self._utterances, at_s=_seconds(self._sound.stop - ago * FRAME))

    def _look(self, utterance: "_Utterance") -> Iterator[Event]:
        """Name the speaker if that is certain by now; say again who it is, if they still agree."""
        speech = judge(self._pcm(self._sound.content), self._sound.activity)
        speech_s = speech.quality.speech_s
        if isinstance(speech, Speech) and utterance.guess and (ago := self._turn(utterance.guess, speech)):
            yield from self._hand_over(ago)
            return
        retracted = False
        if utterance.guess is not None:
            view = self._recognizer.view(utterance.guess.person, self._household, self._actor)
            retracted = view is None
            utterance.guess = replace(utterance.guess, view=view) if view else None
            utterance.withdrawn |= retracted
        elif isinstance(speech, Speech) and not utterance.withdrawn:
            utterance.guess = self._recognizer.guess(speech, self._household, self._actor)
        utterance.schedule(speech_s)
        said = utterance.guess
        utterance.named = utterance.named or (said.person if said else None)
        yield Hypothesis(
            utterance=utterance.number, mode="personalized" if said else "anonymous",
            person=said.view if said else None, confidence=said.confidence if said else 0.0,
            speech_s=round(speech_s, 2), retracted=retracted,
        )

    def _turn(self, guess: Guess, speech: Speech) -> int:
        """How many frames ago another member took over, if the newest speech alone is certainly theirs; else 0."""
        samples = int(WINDOW_S * SAMPLE_RATE_HZ)
        if speech.quality.speech_s < _FIRST_LOOK_S + WINDOW_S:
            return 0
        newest = Speech(speech.samples[-samples:], replace(speech.quality, speech_s=WINDOW_S))
        other = self._recognizer.guess(newest, self._household, self._actor)
        taken_over = other is not None and other.certain and other.person != guess.person
        return self._sound.ago(WINDOW_S) if taken_over else 0

    def _hand_over(self, ago: int) -> Iterator[Event]:
        """End the utterance where the other speaker began, and begin theirs there."""
        rest = self._sound.split(ago)
        yield from self._close("other_speaker")
        self._sound = rest
        yield self._begin_utterance(ago)

    def _close(self, cause: Cause, tail: bytes = b"") -> Iterator[Event]:
        """End the utterance and decide on its sound."""
        utterance, sound = self._open, self._sound.content + tail
        if utterance is None:
            return
        self._open = None
        start, stop = self._sound.start, self._sound.stop + len(tail) // _BYTES
        yield SpeechEnded(utterance=utterance.number, at_s=_seconds(stop), cause=cause)
        request = Request(self._pcm(sound), self._wish.intent, None, self._wish.locale)
        named = utterance.named
        answer = self._recognizer.recognize(
            request, self._household, self._actor, explain=self._wish.explain, named=named
        )
        self._sound.keep(_LEAD if cause == "pause" else 0)
        self._sound.speech = 0
        retracted = named is not None and answer.mode == "anonymous"
        yield Decided(
            utterance=utterance.number, answer=answer, retracted=retracted,
            start_s=_seconds(start), end_s=_seconds(stop),
        )

    def _pcm(self, sound: bytes) -> Pcm:
        return decode(sound, _PCM, max_s=float("inf"))


@dataclass(slots=True)
class _Utterance:
    """What is known of the utterance that is going on."""

    number: int
    guess: Guess | None = None
    named: PersonId | None = None
    """Whom a hypothesis has named."""
    withdrawn: bool = False
    """They took their consent back meanwhile: nobody is named any more."""
    next_look_s: float = _FIRST_LOOK_S

    def schedule(self, speech_s: float) -> None:
        """Fix how much speech there must be before the next look."""
        step = WINDOW_S if self.guess else max(_STEP_S, speech_s * _STEP_SHARE)
        self.next_look_s = speech_s + step if self.guess or speech_s < _LAST_LOOK_S else float("inf")


@dataclass(slots=True)
class _Sound:
    """The sound that may still be needed, in frames, and where in it somebody speaks."""

    start: int = 0
    """Position of the first frame in the connection, samples."""
    frames: list[bytes] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    run: int = 0
    """Frames for which somebody has been speaking up to now."""
    speech: int = 0
    """Frames of speech in this utterance; clicks do not count."""
    silent: int = 0
    """Frames since the last speech."""

    def add(self, frame: bytes, probability: float) -> None:
        """One more frame; the same rule that finds the stretches of speech in a whole clip."""
        self.frames.append(frame)
        self.probabilities.append(probability)
        self.run = self.run + 1 if probability >= (LEAVE if self.run else ENTER) else 0
        if self.run >= SHORTEST:
            self.speech += SHORTEST if self.run == SHORTEST else 1
            self.silent = 0
        else:
            self.silent += 1

    def keep(self, newest: int) -> None:
        """Let go of all but the newest frames."""
        gone = max(0, len(self.frames) - newest)
        del self.frames[:gone], self.probabilities[:gone]
        self.start += gone * FRAME

    def split(self, ago: int) -> "_Sound":
        """Take the newest frames off, as a sound of their own."""
        at = len(self.frames) - ago
        rest = _Sound(self.start + at * FRAME)
        for frame, probability in zip(self.frames[at:], self.probabilities[at:], strict=True):
            rest.add(frame, probability)
        del self.frames[at:], self.probabilities[at:]
        return rest

    def ago(self, speech_s: float) -> int:
        """How many frames ago the newest seconds of speech began; in the pause before it, if there is one."""
        left = int(speech_s * SAMPLE_RATE_HZ / FRAME)
        at = len(self.probabilities)
        while at > 0 and left > 0:
            at -= 1
            left -= self.probabilities[at] >= LEAVE
        around = range(max(0, at - _NEAR), min(len(self.probabilities), at + _NEAR))
        return len(self.probabilities) - min(around, key=lambda frame: self.probabilities[frame], default=at)

    @property
    def stop(self) -> int:
        """Position of the end in the connection, samples."""
        return self.start + len(self.frames) * FRAME

    @property
    def content(self) -> bytes:
        """Little-endian 16-bit samples."""
        return b"".join(self.frames)

    @property
    def activity(self) -> NDArray[np.float32]:
        """Probability of speech, shape (frames,)."""
        return np.array(self.probabilities, dtype=np.float32)


def _seconds(samples: int) -> float:
    return samples / SAMPLE_RATE_HZ
