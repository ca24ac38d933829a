"""The pages for whoever must sign: retention schedule, record of processing, privacy notice, template of a DPIA.

All of them come out of what the program itself goes by: the policy's wording, its schedule, the tables and their
categories, the registered stores. So they cannot promise what the program does not do.
"""

from collections.abc import Iterable, Mapping

from enrollment.purge import SHELVES
from voiceid import policy
from voiceid.settings import Settings
from voiceid.store import tables
from voiceid.types import PURPOSES, Purpose

MADE = "<!-- Made by `make docs`. Do not edit. -->"
_HOLDS = {
    "takes": "embeddings of an unfinished enrollment",
    "enrollments": "that an enrollment is under way",
    "reviews": "who may hear one recording, and why",
    "recordings": "sound recordings of a voice",
    "voiceprints": "biometric templates",
    "adaptations": "parts of a biometric template that later requests made",
    "transcripts": "text of requests",
    "interactions": "what a request asked for and was answered",
    "pseudonyms": "a person's name towards one skill",
    "consent_records": "how a consent was given, in which language, by whom",
    "invitations": "digests of one-time codes",
    "tokens": "digests of tokens; labels of devices",
    "pins": "a hash of a person's PIN for the shared screen, and how often a wrong one was tried",
    "guardians": "who decides for a child",
    "profile": "display name, locale, preferences, a child's day of coming of age",
    "response_templates": "the household's response texts",
    "household": "the household's name and locale",
}
"""What each registered store holds, in words."""
_ALLOWED_BY = {
    "takes": "voice_id", "enrollments": "voice_id", "voiceprints": "voice_id", "recordings": "save_recordings",
    "reviews": "human_review", "transcripts": "transcripts", "interactions": "save_recordings or transcripts",
    "adaptations": "adapt", "pseudonyms": "share:<skill>",
}  # fmt: skip
_OUTLIVES = {
    "ledger": "the words of consent with random ids: to defend against claims; no content",
    "activity": "who accessed what, with random ids; no content",
    "purge": "what was erased when, with its receipt; no content",
}


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def retention() -> str:
    """How long what is kept: the same table as `/v1/policy`."""
    rows = [
        (row.what, f"`{row.purpose}`", f"`{row.default}`", ", ".join(f"`{choice}`" for choice in row.choices),
         row.at_most)
        for row in policy.SCHEDULE
    ]  # fmt: skip
    return f"""{MADE}

# How long things are kept

Each person chooses, for what each of their consents allows; `/v1/policy` shows the same table.

{_table(("what", "needs", "unless chosen otherwise", "choices", "at most"), rows)}
A child's data is kept at most {policy.CHILD_RETENTION_DAYS} days after its last use, whatever was chosen.

A voiceprint that named nobody for {Settings.idle_voiceprint_days} days is erased, and none is kept longer than
{Settings.voiceprint_days} days without a new enrollment. Both can be lowered, never raised or switched off
(`VOICEID_IDLE_VOICEPRINT_DAYS`, `VOICEID_VOICEPRINT_DAYS`). An operator can also set the longest time for recordings and
for text (`VOICEID_RECORDING_DAYS`, `VOICEID_TRANSCRIPT_DAYS`): it shortens what people chose, for what is kept already too,
and never prolongs it; `/v1/policy` then shows it. An unfinished enrollment is erased after
{Settings.enrollment_minutes} minutes.

One clock sees to it, in the service every ten minutes and as `voiceid retain --now`. If it was down, it is late, and each
receipt states since when the data had been due.
"""


def record_of_processing() -> str:
    """GDPR Art. 30: what is processed, why, where, how long."""
    purposes = [
        (f"`{purpose}`", policy.wording(purpose, "en").title, policy.wording(purpose, "en").collected,
         f"`{policy.default_retention(purpose) or 'while the consent stands'}`")
        for purpose in (*PURPOSES, Purpose("share:example"))
    ]  # fmt: skip
    stores = [
        (name, _HOLDS[name], f"`{_ALLOWED_BY[name]}`" if name in _ALLOWED_BY else "membership of the household")
        for name in SHELVES
    ]
    columns = [
        (f"`{table.name}.{column.name}`", str(column.info["category"]))
        for table in tables.metadata.sorted_tables
        for column in table.columns
    ]
    outlives = list(_OUTLIVES.items())
    return f"""{MADE}

# Record of processing (GDPR Art. 30)

For the controller to complete: name, contact, representative, data protection officer. Everything else is what the
program does. Designed to support; whether a household or an operator complies is for them to establish.

**Subjects:** people of a household, adults and children. Guests and strangers are heard for one request; nothing of them
is kept. **Recipients:** none. **Transfers:** none; the program opens no outbound connection unless told to.
**Security:** AES-256-GCM with a key per record, keys apart from the data (docs/threat-model.md).

## Purposes

The lawful basis of each is explicit consent (Art. 6(1)(a), Art. 9(2)(a)).

{_table(("purpose", "what for", "data", "kept"), purposes)}
## Stores

Each is reached, recounted and signed for by every purge that concerns it.

{_table(("store", "holds", "allowed by"), stores)}
## What outlives an erasure

{_table(("table", "what and why"), outlives)}
## Every column

{_table(("column", "category"), columns)}"""


def notice() -> str:
    """The privacy notice, out of the wording that people are shown."""
    sections = []
    for language in policy.LANGUAGES:
        shown = policy.texts(language)
        lines = [f"## {shown['title']} ({language})", "", shown["where"], "", shown["without"], "", shown["withdraw"], ""]
        for purpose in (*PURPOSES, Purpose("share:example")):
            words = policy.wording(purpose, language)
            lines += [f"**{words.title}.** {words.text} *{words.collected}*", ""]
        sections.append("\n".join(lines))
    return f"{MADE}\n\n# Privacy notice, version {policy.version()}\n\n" + "\n".join(sections)


def dpia() -> str:
    """A template for the assessment of GDPR Art. 35, filled as far as the program can answer."""
    return f"""{MADE}

# Data protection impact assessment: a template

Biometric data to identify people needs an assessment (GDPR Art. 35). What the program answers is filled in; what only
the operator can answer is marked **[operator]**.

## 1. What is done

- Why, and by whom: **[operator]**
- Data, purposes, storage, recipients: [record-of-processing.md](record-of-processing.md)
- How long: [../retention.md](../retention.md)
- How it decides, and how often it errs: [../accuracy.md](../accuracy.md)

## 2. Is it necessary and proportionate

- Does the same work without it? Yes: everybody who says no, and every guest, is served anonymously.
- Is consent free? Each purpose is asked for by itself and starts off. Under `VOICEID_CONSENT_RULE=recordings`, voice ID
  needs saved recordings as well; whoever the GDPR binds should set `unbundled`.
- Can consent be shown and taken back? Every word is in the ledger with the digest of what was shown; taking it back is one
  request, and ends in a signed receipt.
- Imbalance of power (employees, tenants, residents of a home): **[operator]**

## 3. What could go wrong for people

| risk | what is done about it | what is left |
| --- | --- | --- |
| somebody is called by another's name | calibrated bars; "I do not know" is an answer | the rates in docs/accuracy.md |
| a stranger's voice is kept | nothing of anonymous requests is stored; the storage bar is stricter than the naming bar | its rate in docs/accuracy.md; `not-me` erases at once |
| theft of data or backups | a key per record, keys elsewhere | whoever takes both: docs/threat-model.md |
| erasing that does not erase | keys destroyed first, recount, signed receipt, replay on restored data | copies of the key store: docs/threat-model.md |
| one of the family watches another | history and last use are shown to that person alone; every access is in the activity | who shares a session |
| pressure on children | a guardian decides, the child may always withdraw; no review, no sharing; {policy.CHILD_RETENTION_DAYS} days | **[operator]** |
| imitation and replay of a voice | a voice opens nothing; verification says so | there is no detection of recordings |
| unequal error rates | measured where the corpus tells, with intervals | children and many languages are not measured |

## 4. What was decided

- Views of the people concerned: **[operator]**
- Advice of the data protection officer: **[operator]**
- Decision, date, review: **[operator]**
"""


def pages() -> Mapping[str, str]:
    """Every page by its path below docs/."""
    return {
        "retention.md": retention(),
        "privacy/record-of-processing.md": record_of_processing(),
        "privacy/notice.md": notice(),
        "privacy/dpia-template.md": dpia(),
    }
