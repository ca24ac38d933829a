"""Counts, without a label that could name a household or a person."""

import threading
from typing import TYPE_CHECKING

from voiceid.views import Answer

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Histogram


class Metrics:
    """What an operator may watch."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._kept: tuple[CollectorRegistry, Counter, Histogram] | None = None

    def answered(self, answer: Answer, seconds: float) -> None:
        """Count one answer."""
        _, answers, took = self._counts()
        answers.labels(answer.mode, answer.reason).inc()
        took.observe(seconds)

    def text(self) -> bytes:
        """The Prometheus text format."""
        from prometheus_client import generate_latest  # noqa: PLC0415 as below

        return generate_latest(self._counts()[0])

    def _counts(self) -> "tuple[CollectorRegistry, Counter, Histogram]":
        """Made for the first answer. Its library is loaded once the service is ready: it brings an HTTP client."""
        with self._turn:
            if self._kept is None:
                from prometheus_client import CollectorRegistry, Counter, Histogram  # noqa: PLC0415 the reason is above

                registry = CollectorRegistry()
                answers = Counter(
                    "voiceid_answers", "Answers by mode and reason.", ["mode", "reason"], registry=registry
                )
                seconds = Histogram(
                    "voiceid_recognize_seconds", "Time from decoded sound to answer.", registry=registry
                )
                self._kept = registry, answers, seconds
            return self._kept
