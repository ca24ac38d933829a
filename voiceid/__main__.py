"""The command `voiceid`, also as `python -m voiceid`."""

import gc
import sys


def main() -> int:
    """Run one command; its exit code."""
    if sys.argv[1:2] == ["serve"]:
        from voiceid.service.allocator import overwrite_freed_memory  # noqa: PLC0415 imports nothing else

        gc.disable()  # nothing that is imported is ever garbage; the service enables it once everything is there
        overwrite_freed_memory()  # it begins anew, so before half a second of imports
    from voiceid.cli import main as run  # noqa: PLC0415 the reason is above

    return run()


if __name__ == "__main__":
    sys.exit(main())
