"""Backups, restoring, the master key. These open files; the service may run, but for a restore."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voiceid.cli.shell import Yes, ask, command, facts
from voiceid.settings import Settings

if TYPE_CHECKING:
    from voiceid.service.keeping import BackedUp, KeysCopied, Restored, Rotated, Swept

commands = typer.Typer()
key = typer.Typer(name="key", no_args_is_help=True, help="The master key, and copies of the key store.")
commands.add_typer(key)

Target = Annotated[Path, typer.Argument(metavar="FILE", help="Where to; it must not exist.")]
Source = Annotated[Path, typer.Argument(metavar="FILE", help="What to put back.")]
Passphrase = Annotated[
    str,
    typer.Option(
        "--passphrase", envvar="VOICEID_PASSPHRASE", prompt=True, hide_input=True, help="At least 12 characters."
    ),
]


@command(commands, "backup", facts)
def backup(file: Target) -> "BackedUp":
    """Copy the data while it serves. The copy holds no key, and is useless without the key store."""
    from voiceid.service import keeping  # noqa: PLC0415 the service takes a second to import

    return keeping.backup(Settings.from_environment(), file)


@command(commands, "restore", facts)
def restore(file: Source, yes: Yes = False) -> "Restored":  # noqa: FBT002 an option
    """Put a backup in the data's place, and carry out again what was purged since. The service must be stopped."""
    from voiceid.service import keeping  # noqa: PLC0415 the service takes a second to import

    ask("Replace all data by this backup?", yes=yes)
    return keeping.restore(Settings.from_environment(), file)


@command(key, "rotate", facts)
def rotate() -> "Rotated":
    """Make a new master key and wrap every surviving key with it; the old one is overwritten."""
    from voiceid.service import keeping  # noqa: PLC0415 the service takes a second to import

    return keeping.rotate(Settings.from_environment())


@command(key, "sweep", facts)
def sweep(yes: Yes = False) -> "Swept":  # noqa: FBT002 an option
    """Destroy the keys that open nothing here; what only a newer backup holds is lost. The service must be stopped."""
    from voiceid.service import keeping  # noqa: PLC0415 the service takes a second to import

    ask("Destroy every key that opens nothing here?", yes=yes)
    return keeping.sweep(Settings.from_environment())


@command(key, "backup", facts)
def key_backup(file: Target, passphrase: Passphrase) -> "KeysCopied":
    """Write the key store into one file, sealed by a passphrase. Whoever keeps an old copy can revive the purged."""
    from voiceid.service import keeping  # noqa: PLC0415 the service takes a second to import

    return keeping.copy_keys(Settings.from_environment(), file, passphrase)


@command(key, "restore", facts)
def key_restore(file: Source, passphrase: Passphrase) -> "Restored":
    """Put a copy of the key store where none is; keys of what was purged since are destroyed in it."""
    from voiceid.service import keeping  # noqa: PLC0415 the service takes a second to import

    return keeping.put_keys_back(Settings.from_environment(), file, passphrase)
