"""The users of this load test. `chatquota run` loads this file because locust.conf names it."""

from chatquota import ChatConversation, QuotaProbe, StartChat

# Each run has one of these, chosen on the command line (`chatquota run QuotaProbe ...`) or in the web form:
#   StartChat         chat starts alone: one a second and user, in open arrivals
#   ChatConversation  the whole journey of a customer: start, connect, write, read, leave
#   QuotaProbe        finds the limits with few chats, then ends the run
__all__ = ["BusyHour", "ChatConversation", "QuotaProbe", "StartChat"]


class BusyHour(StartChat):
    """A user class of your own: what it is called stands in the run's name and report.

    Its load is set by options (locust.conf): --starts-per-user, --hold, --workload, --load-shape.
    """
