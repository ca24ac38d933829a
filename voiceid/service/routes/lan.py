"""What a device of the home needs in order to trust the service: address, certificate, fingerprint."""

from datetime import datetime
from typing import TYPE_CHECKING, cast

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from voiceid.errors import NotFound

if TYPE_CHECKING:
    from voiceid.service.lan import Lan

router = APIRouter()


class HomeNetwork(BaseModel):
    """The service in the home network; everything is empty unless it runs with `--lan`."""

    url: str | None = None
    """What to open on another device."""
    names: list[str] = []
    """Host names by which it answers too."""
    fingerprint: str | None = None
    """SHA-256 of the household's certificate authority. The terminal shows it too: compare, before you trust it."""
    until: datetime | None = None
    """When the service's certificate is made anew at the latest."""


@router.get("/v1/lan", tags=["public"])
def home_network(request: Request) -> HomeNetwork:
    """Tell how other devices of the home reach this service."""
    lan = _lan(request)
    if lan is None:
        return HomeNetwork()
    certified = lan.certified
    return HomeNetwork(url=lan.url, names=list(lan.names), fingerprint=certified.fingerprint, until=certified.until)


@router.get("/household-ca.crt", include_in_schema=False)
def authority(request: Request) -> Response:
    """The certificate of the household's authority, for a device to trust."""
    lan = _lan(request)
    if lan is None:
        raise NotFound("this service has no certificate: run it with --lan")
    return Response(lan.certified.authority, media_type="application/x-x509-ca-cert", headers={
        "Content-Disposition": 'attachment; filename="voiceid-household.crt"', "Cache-Control": "no-cache",
    })  # fmt: skip


def _lan(request: Request) -> "Lan | None":
    return cast("Lan | None", getattr(request.app.state, "lan", None))
