"""The plain pages that need no script: where to go, and the API in print. No request leaves the machine."""

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, select_autoescape

router = APIRouter(include_in_schema=False)
_pages = Environment(loader=PackageLoader("voiceid.service", "pages"), autoescape=select_autoescape())
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@router.get("/", response_class=HTMLResponse)
def home() -> HTMLResponse:
    """Where to go from here."""
    return HTMLResponse(_pages.get_template("home.html").render(), headers=_HEADERS)


@router.get("/docs", response_class=HTMLResponse)
def docs(request: Request) -> HTMLResponse:
    """Every operation of the API, from `/openapi.json`."""
    app: FastAPI = request.app
    return HTMLResponse(_pages.get_template("docs.html").render(groups=_groups(app.openapi())), headers=_HEADERS)


def _groups(schema: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The operations by tag, in the order of the paths."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            answers = [status for status in operation["responses"] if status.startswith("2")]
            shown = {"method": method.upper(), "path": path, "answers": ", ".join(answers), **operation}
            groups.setdefault(operation.get("tags", ["other"])[0], []).append(shown)
    return groups
