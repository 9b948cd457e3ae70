"""What `chatquota cleanup` says when the target does not let it do its work."""

import sys

from harness.connect.client import Reply
from harness.counting import counted
from harness.errors import EXIT_TARGET
from harness.load.cleanup.search import SearchFailed
from harness.recording.redact import redact_field, redact_text


def refuse_search(error: SearchFailed) -> int:
    """Print why the search failed and return the exit code 3."""
    return _fail(str(error))


def refuse_stop(reply: Reply, still_open: int = 0) -> int:
    """Print why no chat can be stopped and return the exit code 3. `reply` is the last answer."""
    if reply.status == 0:
        why = f"no call gets through ({redact_text(reply.message)}); check --host and the network, and run this again"
    else:
        code = redact_field(str(reply.error_code or reply.status))
        why = f"StopContact is refused ({code}); check the credentials, --region and --instance-id"
    return _fail(f"{counted(still_open, 'chat is', 'chats are')} open: {why}" if still_open else why)


def _fail(sentence: str) -> int:
    print(f"chatquota cleanup: {' '.join(sentence.split())}", file=sys.stderr)
    return EXIT_TARGET
