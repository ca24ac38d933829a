"""Looking after the service, and letting time erase."""

from typing import TYPE_CHECKING, Annotated

import typer

from voiceid.cli.shell import command, table
from voiceid.errors import InvalidRequest, NotFound
from voiceid.settings import Settings
from voiceid.views import Receipt

if TYPE_CHECKING:
    from voiceid.service.doctor import Report

commands = typer.Typer()

Deep = Annotated[bool, typer.Option("--deep", help="Also every row, key, receipt and file; it takes its time.")]
Now = Annotated[bool, typer.Option("--now", help="At once, whether the service runs or not.")]


@command(commands, "retain", table("why", "person", "state", "id"))
def retain(now: Now = False) -> list[Receipt]:  # noqa: FBT002 same
    """Erase what has run out. The running service does it every ten minutes by itself."""
    from voiceid.service import doctor, wiring  # noqa: PLC0415 the service takes a second to import

    if not now:
        raise InvalidRequest("say --now; the running service does this every ten minutes by itself")
    settings = Settings.from_environment()
    if not doctor.is_set_up(settings):
        raise NotFound("nothing is set up here")
    services = wiring.build(settings)
    try:
        services.forgetting.resume()
        return services.retention.run()
    finally:
        services.close()


def _show_report(report: "Report") -> None:
    table("name", "ok", "detail")(report.checks)
    for check in report.checks:
        if check.mend is not None:
            typer.echo(f"\nTo mend {check.name}: {check.mend}")


@command(commands, "doctor", _show_report)
def doctor(deep: Deep = False) -> "Report":  # noqa: FBT002 an option
    """Check this installation: settings, models, files, keys, chains. It changes nothing.

    It ends in exit code 1 when something is wrong, and says how to mend it.
    """
    from voiceid.service.doctor import examine  # noqa: PLC0415 the service takes a second to import

    return examine(deep=deep)
