"""Households, tokens, people, sessions, consents."""

from dataclasses import asdict
from typing import Any, Literal

from voiceid.client.call import Call, Group, Operation, answering, given, silent
from voiceid.client.results import ConsentList, GuardianList, MintedToken, Page, PersonDetail
from voiceid.types import Kind, PersonId
from voiceid.views import (
    ConsentDecision,
    ConsentRecord,
    HouseholdView,
    Invited,
    PersonEntry,
    Receipt,
    Session,
    TokenView,
)


class HouseholdOperations(Group):
    """Households and their tokens."""

    @Operation
    def create_household(self, name: str, locale: str = "en-US") -> Call[HouseholdView]:
        """Make a household; for the administrator."""
        return answering(HouseholdView, "POST", "/v1/households", json={"name": name, "locale": locale})

    @Operation
    def households(self, cursor: str = "", limit: int = 200) -> Call[Page[HouseholdView]]:
        """List households; for the administrator."""
        return answering(Page[HouseholdView], "GET", "/v1/households", params={"cursor": cursor, "limit": limit})

    @Operation
    def show_household(self) -> Call[HouseholdView]:
        """Name and locale of the household."""
        return answering(HouseholdView, "GET", self._home)

    @Operation
    def change_household(self, name: str | None = None, locale: str | None = None) -> Call[HouseholdView]:
        """Rename the household or change its locale; what is None stays."""
        return answering(HouseholdView, "PATCH", self._home, json=given(name=name, locale=locale))

    @Operation
    def delete_household(self) -> Call[Receipt]:
        """Erase the household and everybody in it."""
        return answering(Receipt, "DELETE", self._home)

    @Operation
    def mint_token(
        self, role: Literal["owner", "device", "skill"], label: str, skill: str | None = None
    ) -> Call[MintedToken]:
        """Mint a token; its text is shown this once. A person's is never minted: `invite` them."""
        body = given(role=role, label=label, skill=skill)
        return answering(MintedToken, "POST", f"{self._home}/tokens", json=body)

    @Operation
    def tokens(self, cursor: str = "", limit: int = 200) -> Call[Page[TokenView]]:
        """List the household's tokens, without their texts."""
        return answering(Page[TokenView], "GET", f"{self._home}/tokens", params={"cursor": cursor, "limit": limit})

    @Operation
    def revoke_token(self, token: str) -> Call[None]:
        """Make a token useless at once."""
        return silent("DELETE", f"{self._home}/tokens/{token}")


class PersonOperations(Group):
    """People, their guardians, invitations and sessions."""

    @Operation
    def add_person(
        self,
        display_name: str,
        kind: Kind = "adult",
        locale: str | None = None,
        guardians: list[PersonId] | None = None,
    ) -> Call[PersonEntry]:
        """Enter a person. Nothing about their voice is asked or kept by this."""
        body = given(display_name=display_name, kind=kind, locale=locale, guardians=guardians)
        return answering(PersonEntry, "POST", f"{self._home}/people", json=body)

    @Operation
    def people(self, cursor: str = "", limit: int = 200) -> Call[Page[PersonEntry]]:
        """List the people of the household, and who has voice ID on."""
        return answering(Page[PersonEntry], "GET", f"{self._home}/people", params={"cursor": cursor, "limit": limit})

    @Operation
    def person(self, person: str) -> Call[PersonDetail]:
        """Show a person."""
        return answering(PersonDetail, "GET", self._of(person))

    @Operation
    def change_person(
        self,
        person: str,
        *,
        display_name: str | None = None,
        locale: str | None = None,
        preferences: dict[str, Any] | None = None,
        verify_by_device: bool | None = None,
    ) -> Call[PersonEntry]:
        """Change a person's name, locale or preferences; what is None stays."""
        told = {"preferences": preferences, "verify_by_device": verify_by_device}
        body = given(display_name=display_name, locale=locale, **told)
        return answering(PersonEntry, "PATCH", self._of(person), json=body)

    @Operation
    def delete_person(self, person: str) -> Call[Receipt]:
        """Erase a person and everything of theirs."""
        return answering(Receipt, "DELETE", self._of(person))

    @Operation
    def invite(self, person: str) -> Call[Invited]:
        """Make a one-time code with which this person signs in."""
        return answering(Invited, "POST", f"{self._of(person)}/invitations")

    @Operation
    def guardians(self, person: str) -> Call[list[PersonId]]:
        """Who decides for a child."""
        return answering(GuardianList, "GET", f"{self._of(person)}/guardians").then(lambda found: found.guardians)

    @Operation
    def set_guardians(self, person: str, guardians: list[PersonId]) -> Call[list[PersonId]]:
        """Replace a child's guardians."""
        call = answering(GuardianList, "PUT", f"{self._of(person)}/guardians", json={"guardians": guardians})
        return call.then(lambda found: found.guardians)

    @Operation
    def sign_in(self, code: str) -> Call[Session]:
        """Redeem an invitation; earlier sessions of that person end."""
        return answering(Session, "POST", "/v1/session", json={"code": code})

    @Operation
    def sign_out(self) -> Call[None]:
        """End this session."""
        return silent("DELETE", "/v1/session")


class ConsentOperations(Group):
    """Yes, no, and taking it back."""

    @Operation
    def consents(self, person: str) -> Call[ConsentList]:
        """Each purpose's state and full history."""
        return answering(ConsentList, "GET", f"{self._of(person)}/consents")

    @Operation
    def decide(self, person: str, purpose: str, decision: ConsentDecision) -> Call[ConsentRecord]:
        """Record a yes or a no to one purpose. A no to what was granted erases what it allowed."""
        path = f"{self._of(person)}/consents/{purpose}"
        return answering(ConsentRecord, "PUT", path, json=given(**asdict(decision)))

    @Operation
    def withdraw(self, person: str, purpose: str) -> Call[Receipt]:
        """Take consent to one purpose back; what only it allowed is erased."""
        return answering(Receipt, "DELETE", f"{self._of(person)}/consents/{purpose}")

    @Operation
    def withdraw_all(self, person: str) -> Call[Receipt]:
        """Take every consent back at once."""
        return answering(Receipt, "DELETE", f"{self._of(person)}/consents")
