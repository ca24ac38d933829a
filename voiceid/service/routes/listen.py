"""Live recognition over a WebSocket."""

from fastapi import APIRouter

from voiceid.service.answering import listen

router = APIRouter()
router.websocket("/v1/households/{household}/listen")(listen)
