"""The story of a household, played through the real server on audible speech, and checked at every step.

    report = play(show)         # with the voices that come with the package
    report = play_live(show)    # with whoever stands before the microphone

The server runs as a process of its own, on a free loopback port, with fresh directories that are gone afterwards.
"""

from voiceid.demo.live import play_live
from voiceid.demo.server import SERVE
from voiceid.demo.steps import Report, Show, Silent, Step
from voiceid.demo.story import play

__all__ = ["SERVE", "Report", "Show", "Silent", "Step", "play", "play_live"]
