"""The least that a service on this stack can be: the web framework hands a body to the encoder, a thread for each core.

    python -m benchmarks.bare

No token, no consent, no decision, not even a look whether anybody speaks: what it takes, any service on it takes.
"""

import os

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # as in a whole run

import asyncio
import http.client
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import uvicorn
from fastapi import FastAPI, Request

from benchmarks import voices
from voiceid.decode import decode
from voiceid.encode.campplus import CamPlusPlus

_COMMAND = (sys.executable, "-m", "benchmarks.bare")
_GIVE_UP_S = 60


class Bare:
    """Such a service, in a process of its own, on a free loopback port."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(_COMMAND, stdout=subprocess.PIPE, text=True)
        said = self._process.stdout.readline() if self._process.stdout else ""
        if not said:
            raise RuntimeError(f"the bare service ended with {self._process.wait()}")
        self._port = int(said)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(_GIVE_UP_S)

    def caller(self) -> "BareCaller":
        """Somebody with a connection of their own."""
        return BareCaller(self._port)


class BareCaller:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_GIVE_UP_S)

    def __call__(self, sound: bytes) -> None:
        """One embedding."""
        self._connection.request("POST", "/embed", sound, {"Content-Type": "audio/wav"})
        answer = self._connection.getresponse()
        answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"the bare service answered {answer.status}")


def _app() -> FastAPI:
    app, encoder = FastAPI(openapi_url=None), CamPlusPlus.shipped()
    threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)))

    def embedded(sound: bytes) -> float:
        return float(encoder.embed(voices.speech(decode(sound, "audio/wav", max_s=60).samples)).vector[0])

    @app.post("/embed")
    async def embed(request: Request) -> dict[str, float]:
        sound = await request.body()
        return {"first": await asyncio.get_running_loop().run_in_executor(threads, embedded, sound)}

    return app


def main() -> None:
    """Print the port, then serve until a signal ends it."""
    app = _app()
    with socket.create_server(("127.0.0.1", 0)) as bound:
        sys.stdout.write(f"{bound.getsockname()[1]}\n")
        sys.stdout.flush()
        uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, http="h11")).run(sockets=[bound])


if __name__ == "__main__":
    main()
