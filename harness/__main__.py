"""`python -m harness` is the `chatquota` command."""

import sys

from harness.command import main

sys.exit(main())
