"""`python -m voiceid`."""

import sys

from voiceid.cli import main

sys.exit(main())
