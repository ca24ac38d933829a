"""Counts, without a label that could name a household or a person."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from voiceid.views import Answer


class Metrics:
    """What an operator may watch."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._answers = Counter(
            "voiceid_answers", "Answers by mode and reason.", ["mode", "reason"], registry=self._registry
        )
        self._seconds = Histogram(
            "voiceid_recognize_seconds", "Time from decoded sound to answer.", registry=self._registry
        )

    def answered(self, answer: Answer, seconds: float) -> None:
        """Count one answer."""
        self._answers.labels(answer.mode, answer.reason).inc()
        self._seconds.observe(seconds)

    def text(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self._registry)
