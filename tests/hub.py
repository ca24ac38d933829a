"""A small model hub on loopback."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class Hub(ThreadingHTTPServer):
    """Serves one revision of a model the way the hub does: large files behind a redirect, with ranges."""

    def __init__(self, repo: str, revision: str, files: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.files = {f"/{repo}/resolve/{revision}/{name}": content for name, content in files.items()}
        self.breaks_off_after: int | None = None
        self.knows_ranges = True
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_who: object) -> None:
        """A client that hangs up in the middle is what some tests are about."""

    def serves(self, name: str, content: bytes | None) -> None:
        path = next(path for path in self.files if path.endswith(name))
        if content is None:
            del self.files[path]
        else:
            self.files[path] = content


class _Answer(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked_range = self.headers.get("Range", "")
        self.server.asked.append(f"{self.path} {asked_range}".strip())
        path = self.path.removeprefix("/store")
        content = self.server.files.get(path)
        if content is None:
            self.send_error(404)
        elif path == self.path and path.endswith(".ckpt"):
            self.send_response(302)
            self.send_header("Location", f"/store{path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._send(content, asked_range if self.server.knows_ranges else "")

    def _send(self, content: bytes, asked_range: str) -> None:
        start = int(asked_range.removeprefix("bytes=").rstrip("-")) if asked_range else 0
        body = content[start:]
        self.send_response(206 if asked_range else 200)
        if asked_range:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut, self.server.breaks_off_after = self.server.breaks_off_after, None
        self.wfile.write(body[:cut])
        self.close_connection = cut is not None

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(repo: str, revision: str, files: Mapping[str, bytes]) -> Iterator[Hub]:
    """Run a hub for as long as the context lasts."""
    with Hub(repo, revision, files) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
