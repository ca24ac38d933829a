"""Whether the service runs, and how it fares."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from voiceid.ports import Actor
from voiceid.service.auth import Action, may
from voiceid.service.routes.common import Wired

router = APIRouter(tags=["health"])

MayManage = Annotated[Actor, Depends(may(Action.MANAGE_ALL))]


class Health(BaseModel):
    """How the service is."""

    status: str


@router.get("/healthz")
def healthy() -> Health:
    """The process runs."""
    return Health(status="ok")


@router.get("/readyz")
def ready(services: Wired) -> Health:
    """Database and key store can be used.

    503 otherwise: anonymous answers may still be given.
    """
    services.check()
    return Health(status="ok")


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(services: Wired, _: MayManage) -> Response:
    """Prometheus metrics; no label names a household or a person."""
    return Response(services.metrics.text(), media_type="text/plain; version=0.0.4")
