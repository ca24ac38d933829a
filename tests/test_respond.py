"""Responses: personal for whom we know, the same service for everybody else, and no template takes the machine down."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from home import Home

from voiceid import respond
from voiceid.errors import InvalidRequest
from voiceid.respond import Responder
from voiceid.types import HouseholdId, PersonId, Profile
from voiceid.views import ResponseTemplate

HOME = HouseholdId("h")
ADA = Profile(PersonId("a"), "Ada", "adult", preferences={"units": "metric", "city": "Zürich"})


class Templates:
    """`ResponseTemplates`: those that a test writes."""

    def __init__(self, *templates: ResponseTemplate) -> None:
        self._templates = {one.intent: one for one in templates}

    def template(self, household: HouseholdId, intent: str, /) -> ResponseTemplate | None:
        return self._templates.get(intent)


def _responder(*templates: ResponseTemplate, hour: int = 9) -> Responder:
    now = datetime(2026, 3, 2, hour, tzinfo=UTC).astimezone()
    return Responder(Templates(*templates), lambda _: "en-US", lambda: now.replace(hour=hour))


@pytest.mark.parametrize("intent", [*respond.shipped_intents(), "make_tea", None])
@pytest.mark.parametrize("locale", ["en-US", "de-CH", "es", "fr-FR"])
def test_everybody_is_answered(intent: str | None, locale: str) -> None:
    """Whatever they want, in the language we have; only the person by name."""
    personal = _responder().say(HOME, intent, ADA, locale)
    anonymous = _responder().say(HOME, intent, None, locale)
    assert personal.text
    assert anonymous.text
    assert "Ada" not in anonymous.text
    assert personal.locale == anonymous.locale == locale


def test_the_four_defaults_and_a_greeting_by_name() -> None:
    assert {"greeting", "weather", "calendar", "music"} <= set(respond.shipped_intents())
    texts = {_responder(hour=hour).say(HOME, "greeting", ADA, "en-US").text for hour in (3, 9, 14, 20)}
    assert len(texts) >= 3
    assert all("Ada" in text for text in texts)


def test_the_persons_language_comes_before_the_households() -> None:
    german = Profile(PersonId("a"), "Ada", "adult", locale="de-DE")
    assert _responder().say(HOME, None, german, None).locale == "de-DE"
    assert _responder().say(HOME, None, german, "es").locale == "es"
    assert _responder().say(HOME, None, None, None).locale == "en-US"


def test_a_households_own_text_is_used() -> None:
    own = ResponseTemplate("tea", "Tea for {{ name }} in {{ preferences.city|upper }}", "Tea")
    assert _responder(own).say(HOME, "tea", ADA, None).text == "Tea for Ada in ZÜRICH"
    assert _responder(own).say(HOME, "tea", None, None).text == "Tea"


REFUSED = {
    "a loop": "{% for a in name %}x{% endfor %}",
    "a call": "{{ name.upper() }}",
    "a macro": "{% macro a() %}{% endmacro %}",
    "an import": "{% import 'x' as y %}",
    "an include": "{% include '/etc/passwd' %}",
    "an assignment": "{% set a = 1 %}",
    "a sum": "{{ hour + 1 }}",
    "a power": "{{ 9 ** 9 ** 9 }}",
    "a product of text": "{{ 'x' * 999999999 }}",
    "joining": "{{ name ~ name }}",
    "a list": "{{ [1] }}",
    "a slice": "{{ name[0:2] }}",
    "a filter that repeats": "{{ name|center(999999999) }}",
    "a filter that reckons": "{{ hour|round(999999999, 'floor') }}",
    "a filter that formats": "{{ '%999999999d'|format(1) }}",
    "an unknown filter": "{{ name|nonsense }}",
    "an unknown test": "{{ name if name is nonsense }}",
    "an unknown name": "{{ self }}",
    "the configuration": "{{ config }}",
    "half a template": "{{ name",
    "deep brackets": "{{ " + "(" * 900 + "name" + ")" * 900 + " }}",
    "deep negation": "{{ " + "not " * 480 + "name }}",
    "deep conditions": "{%if name%}" * 110 + "{%endif%}" * 80,
    "a hundred levels": "{%if 1%}" * 117 + "{%endif%}" * 117,
    "too long": "x" * 2001,
    "not a text": "a\x00b",
}


@pytest.mark.parametrize("source", REFUSED.values(), ids=REFUSED)
def test_a_template_that_could_do_harm_is_refused(source: str) -> None:
    """At once: it is never filled, and not even compiled before it was looked at."""
    began = time.perf_counter()
    with pytest.raises(InvalidRequest) as refused:
        respond.check(ResponseTemplate("tea", source, "Tea"))
    assert time.perf_counter() - began < 2
    assert str(refused.value).startswith("personal: ")


@pytest.mark.parametrize("word", ["name", "preferences"])
def test_an_anonymous_text_knows_nobody(word: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^anonymous: "):
        respond.check(ResponseTemplate("tea", "Tea", "{{ " + word + " }}"))


ALLOWED = {
    "{{ daypart }}, {{ name }}": "Good morning, Ada",
    "{% if preferences.units == 'metric' %}km{% else %}mi{% endif %}": "km",
    "{{ preferences.none|default('?') }}": "?",
    "{{ preferences.none.such }}": "",
    "{{ preferences['city']|length }}": "6",
    "{{ 'late' if hour > 20 else 'early' }} {{ intent }} {{ locale }}": "early tea en-US",
    "{{ name.__class__.__mro__ }}": "",
    "{{ preferences.__init__.__globals__ }}": "",
    "no braces": "no braces",
}


@pytest.mark.parametrize(("source", "text"), ALLOWED.items(), ids=ALLOWED)
def test_what_a_template_may_do(source: str, text: str) -> None:
    """Reaching for Python's insides finds nothing there."""
    template = ResponseTemplate("tea", source, "Tea")
    respond.check(template)
    assert _responder(template).say(HOME, "tea", ADA, "en-US").text == text


@pytest.mark.parametrize("value", [None, 3, [1], {"a": {}}, "9" * 4000, True, 1e308])
def test_no_preference_spoils_an_answer(value: Any) -> None:
    odd = Profile(PersonId("a"), "Ada", "adult", preferences={"x": value})
    source = "{{ preferences.x|int }} {{ preferences.x|first }} {{ preferences.x > 3 }}"
    respond.check(template := ResponseTemplate("tea", source, "Tea"))
    assert isinstance(_responder(template).say(HOME, "tea", odd, None).text, str)


def test_half_a_character_spoils_no_answer() -> None:
    said = _responder(ResponseTemplate("tea", "", "tea {{ '\\ud800' }}")).say(HOME, "tea", None, None)
    assert said.text == ""


def test_a_text_has_a_greatest_length() -> None:
    long = Profile(PersonId("a"), "A" * 3000, "adult")
    template = ResponseTemplate("tea", "{{ name }}{{ name }}", "Tea")
    assert len(_responder(template).say(HOME, "tea", long, None).text) == respond.TEXT_CHARS


# Over HTTP.


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with Home(tmp_path_factory.mktemp("home")) as home:
        yield home.enrolls("ada")


def test_a_household_changes_its_texts(home: Home) -> None:
    shipped = home.ok("GET", "responses/weather", home.owner)
    assert shipped["personal"] != shipped["anonymous"]
    texts = {"personal": "Rain, {{ name }}.", "anonymous": "Rain."}
    assert home.ok("PUT", "responses/weather", home.owner, json=texts) == {"intent": "weather", **texts}
    assert home.ok("GET", "responses/weather", home["ada"].headers)["personal"] == texts["personal"]
    assert home.hears("ada", intent="weather")["response"]["text"] == "Rain, Ada."
    assert home.hears("eve", intent="weather")["response"]["text"] == "Rain."


def test_a_refused_text_changes_nothing(home: Home) -> None:
    before = home.ok("GET", "responses/music", home.owner)
    answered = home.call("PUT", "responses/music", home.owner, json={"personal": "{{ name", "anonymous": "x"})
    assert (answered.status_code, answered.json()["detail"]) == (422, "personal: not a template (TemplateSyntaxError)")
    assert home.ok("GET", "responses/music", home.owner) == before


def test_an_intent_that_nobody_knows_is_answered(home: Home, tmp_path: Path) -> None:
    assert home.hears("ada", intent="fold_my_laundry")["response"]["text"]
    assert home.hears("eve", intent="fold_my_laundry")["response"]["text"]
