"""What the service refuses, as the error that the service raised."""

from typing import Any

from voiceid.errors import VoiceIdError

_MEMBERS = frozenset({"type", "title", "status", "detail"})


def problem_of(problem: Any, status: int) -> VoiceIdError:
    """The error whose code a problem carries; VoiceIdError itself for a code that this version does not know."""
    try:
        members = dict(problem)
        code = str(members["type"]).rsplit("/", 1)[-1]
    except (ValueError, KeyError, TypeError):
        return VoiceIdError(f"the service answered {status}, and not in a way that we know")
    error = VoiceIdError.registry.get(code, VoiceIdError)(str(members.get("detail", "")))
    error.facts = {name: value for name, value in members.items() if name not in _MEMBERS}
    if type(error) is VoiceIdError:
        error.facts |= {"code": code, "status": status}
    return error
