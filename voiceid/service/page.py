"""The page and its static files. Everything it can do goes over the public API; no request leaves the machine."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from voiceid.errors import NotFound

router = APIRouter(include_in_schema=False)
_KINDS = {".css": "text/css", ".js": "text/javascript", ".json": "application/json", ".svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' blob:; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


@cache
def _read_static() -> dict[str, tuple[bytes, str, str]]:
    """Every static file of the package: name -> content, media type, entity tag."""
    found = {}
    root = files("voiceid.service") / "static"
    for folder in ("", "js/", "i18n/"):
        for file in (root / folder).iterdir() if folder else root.iterdir():
            kind = _KINDS.get("." + file.name.rpartition(".")[2])
            if file.is_file() and kind:
                content = file.read_bytes()
                found[folder + file.name] = content, kind, f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    return found


@cache
def _pages() -> Any:
    from jinja2 import Environment, PackageLoader, select_autoescape  # noqa: PLC0415 whoever is asked no page needs none

    return Environment(loader=PackageLoader("voiceid.service", "pages"), autoescape=select_autoescape())


def _rendered(page: str, **facts: Any) -> HTMLResponse:
    return HTMLResponse(_pages().get_template(page).render(facts), headers=_HEADERS)


@router.get("/", response_class=HTMLResponse)
def home() -> HTMLResponse:
    """The page."""
    scripts = sorted(name.removeprefix("js/") for name in _read_static() if name.startswith("js/"))
    return _rendered("page.html", modules=[name for name in scripts if "resampler" not in name])


@router.api_route("/openapi.json", methods=["GET", "HEAD"])
def description(request: Request) -> JSONResponse:
    """The API, described in OpenAPI."""
    app: FastAPI = request.app
    return JSONResponse(app.openapi())


@router.get("/docs", response_class=HTMLResponse)
def docs(request: Request) -> HTMLResponse:
    """Every operation of the API, from `/openapi.json`."""
    app: FastAPI = request.app
    return _rendered("docs.html", groups=_groups(app.openapi()))


@router.get("/static/{name:path}")
def static(name: str, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """One file of the page."""
    if name not in _read_static():
        raise NotFound
    content, kind, tag = _read_static()[name]
    headers = {**_HEADERS, "ETag": tag}
    if if_none_match == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


def _groups(schema: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The operations by tag, in the order of the paths."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            answers = [status for status in operation["responses"] if status.startswith("2")]
            shown = {"method": method.upper(), "path": path, "answers": ", ".join(answers), **operation}
            groups.setdefault(operation.get("tags", ["other"])[0], []).append(shown)
    return groups
