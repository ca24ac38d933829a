"""Decision -> the personalized or the anonymous response. Templates are Jinja2, sandboxed, and may not loop."""

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache, lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from voiceid.errors import InvalidRequest
from voiceid.policy import language_of
from voiceid.ports import ResponseTemplates
from voiceid.types import HouseholdId, Profile
from voiceid.views import ResponseTemplate, ResponseText

if TYPE_CHECKING:
    from jinja2 import nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

TEMPLATE_CHARS = 2000
TEXT_CHARS = 4000
_FILTERS = ("default", "lower", "upper", "capitalize", "title", "trim", "int", "first", "last", "length")
_PERSONAL = frozenset({"name", "preferences", "locale", "intent", "hour", "daypart"})
_ANYONE = _PERSONAL - {"name", "preferences"}
_ALLOWED = frozenset(
    {"Template", "Output", "TemplateData", "Name", "Getattr", "Getitem", "If", "Const", "Filter", "Compare", "Operand",
     "And", "Or", "Not", "CondExpr", "Test"}
)  # fmt: skip
"""Of jinja2.nodes. No loops, calls or arithmetic: a text for one sentence needs none, and none can halt the machine."""


@cache
def environment() -> "ImmutableSandboxedEnvironment":
    """What compiles templates. Made for the first text, or once the service is ready, and not before."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415 the reason is above

    made = ImmutableSandboxedEnvironment(autoescape=False)
    made.filters = {name: made.filters[name] for name in _FILTERS}
    return made


class Responder:
    """Says what is to be said."""

    def __init__(
        self, templates: ResponseTemplates, locale_of: Callable[[HouseholdId], str], now: Callable[[], datetime]
    ) -> None:
        self._templates = templates
        self._locale_of = locale_of
        self._now = now

    def say(
        self, household: HouseholdId, intent: str | None, profile: Profile | None, locale: str | None
    ) -> ResponseText:
        """The response for a person, or for anyone (`profile` None)."""
        spoken = locale or (profile.locale if profile else None) or self._locale_of(household)
        wanted = intent or "greeting"
        hour = self._now().astimezone().hour
        facts: dict[str, Any] = {"locale": spoken, "intent": wanted, "hour": hour, "daypart": _daypart(spoken, hour)}
        own = self._templates.template(household, wanted)
        template, make = (shipped(wanted, spoken), _kept) if own is None else (own, _compiled)
        if profile is None:
            return ResponseText(render(template.anonymous, facts, make), spoken)
        facts |= {"name": profile.display_name, "preferences": profile.preferences}
        return ResponseText(render(template.personal, facts, make), spoken)


def shipped(intent: str, locale: str) -> ResponseTemplate:
    """The texts that come with the package; an unknown intent gets the default ones."""
    intents = _texts(language_of(locale))["intents"]
    texts = intents.get(intent, intents["default"])
    return ResponseTemplate(intent, texts["personal"], texts["anonymous"])


def shipped_intents() -> list[str]:
    """The intents that the package has texts for."""
    return list(_texts("en")["intents"])


def check(template: ResponseTemplate) -> None:
    """Refuse a template that is too long, uses what it may not, or cannot be filled.

    Raises: InvalidRequest, naming the field and the reason.
    """
    from jinja2 import TemplateError  # noqa: PLC0415 as in environment()

    for field, source, known in (
        ("personal", template.personal, _PERSONAL), ("anonymous", template.anonymous, _ANYONE)
    ):  # fmt: skip
        if len(source) > TEMPLATE_CHARS or "\x00" in source:
            raise InvalidRequest(f"{field}: a text of at most {TEMPLATE_CHARS} characters")
        try:
            for node in _nodes(source):
                _refuse(field, node, known)
            environment().from_string(source)  # only now: compiling already reckons with constants
        except (TemplateError, SyntaxError, RecursionError, MemoryError) as error:  # all but the first: too deep
            raise InvalidRequest(f"{field}: not a template ({type(error).__name__})") from None


def _nodes(source: str) -> "Iterable[nodes.Node]":
    from jinja2 import nodes  # noqa: PLC0415 as in environment()

    return environment().parse(source).find_all(nodes.Node)


def _refuse(field: str, node: "nodes.Node", known: frozenset[str]) -> None:
    from jinja2 import nodes  # noqa: PLC0415 as in environment()

    if type(node).__name__ not in _ALLOWED:
        raise InvalidRequest(f"{field}: {type(node).__name__} is not allowed here")
    if isinstance(node, nodes.Name) and node.name not in known:
        raise InvalidRequest(f"{field}: may use {', '.join(sorted(known))}")
    if isinstance(node, nodes.Test) and node.name not in environment().tests:
        raise InvalidRequest(f"{field}: there is no such test")
    if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
        raise InvalidRequest(f"{field}: may use the filters {', '.join(_FILTERS)}")


def _compiled(source: str) -> Any:
    """A household's own text is compiled each time, in less than a millisecond: no cache outlives the household."""
    return environment().from_string(source)


_kept = lru_cache(maxsize=512)(_compiled)
"""What ships with the package is compiled once."""


def render(source: str, facts: dict[str, Any], make: Callable[[str], Any] = _compiled) -> str:
    """Fill a template; one that fails on these facts says nothing rather than something wrong."""
    try:
        text: str = make(source).render(facts)[:TEXT_CHARS]
        return text.encode().decode()  # fails on half a character, which could not be told
    except Exception:  # noqa: BLE001 whatever a person's preferences make of it, the request is answered
        return ""


def _daypart(locale: str, hour: int) -> str:
    parts: list[str] = _texts(language_of(locale))["daypart"]
    night, morning, afternoon, evening = parts
    if 5 <= hour < 12:  # noqa: PLR2004 hours of the day
        return morning
    if 12 <= hour < 18:  # noqa: PLR2004 hours of the day
        return afternoon
    return evening if hour >= 18 else night  # noqa: PLR2004 hours of the day


@lru_cache
def _texts(language: str) -> dict[str, Any]:
    file = resources.files("voiceid").joinpath(f"data/responses/{language}.json")
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content
