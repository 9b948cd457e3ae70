"""`python -m harness.emulator`: the same as `chatquota emulator`."""

import sys

from harness.emulator.cli import main

sys.exit(main(sys.argv[1:]))
