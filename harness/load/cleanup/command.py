"""`chatquota cleanup`: stops what a killed run left open, and completes its record."""

import logging
import sys

from harness.errors import EXIT_INVALID, one_line
from harness.load.cleanup.arguments import read_arguments
from harness.load.cleanup.cleanup import Cleanup
from harness.load.cleanup.sweep import sweep


def main(argv: list[str]) -> int:
    """Run the command and return its exit code: 0 nothing is left open, 3 the target refuses, 5 chats are still open."""
    options = read_arguments(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("harness").setLevel(logging.INFO)
    if options.run is None:
        return sweep(options)
    try:
        return Cleanup(options, options.run.resolve()).run()
    except (OSError, RuntimeError, MemoryError) as error:  # a full disk, a loop of links, more than the memory holds
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        print(one_line(f"chatquota cleanup: {options.run}: {reason.lower()}"), file=sys.stderr)
        return EXIT_INVALID
    except KeyboardInterrupt:
        print("interrupted; what was done is written down: run it again for the rest", file=sys.stderr)
        return EXIT_INVALID
