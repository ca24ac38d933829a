"""Freed memory is overwritten, at once, by whoever freed it: this program, Python, or a library.

Without it a name, a voice or a vector that was let go of stays readable in the process until chance reuses its place.
glibc can overwrite what is freed, but only if told before the process starts: so the service starts itself once more,
in the same process. What it costs stands in docs/proof.md. On a C library other than glibc nothing changes.
"""

import os
import sys

ENVIRONMENT = {
    "GLIBC_TUNABLES": "glibc.malloc.perturb=85:glibc.malloc.tcache_count=0",  # its cache skips the overwriting
    "PYTHONMALLOC": "malloc",  # Python's own allocator would never hand anything back
}


def overwrites() -> bool:
    """Whether this process runs under an allocator that overwrites what is freed."""
    return _on_glibc() and all(os.environ.get(name) == value for name, value in ENVIRONMENT.items())


def overwrite_freed_memory() -> None:
    """Start this program anew in its process, if it does not overwrite yet; never returns then."""
    if _on_glibc() and not overwrites():
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **ENVIRONMENT})  # noqa: S606 ourselves, with the words we were started with


def _on_glibc() -> bool:
    try:
        return str(os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError, AttributeError):
        return False
