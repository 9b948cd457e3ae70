"""Which user class a run has: one of them, since each is a whole load of its own and two would disturb each other."""

from locust.env import Environment

from harness.errors import UsageError

DEFAULT = "StartChat"


def select_users(environment: Environment, names: list[str]) -> None:
    """Let the next run have the user class that `names` names, or StartChat where it names none.

    Raises UsageError for several, or for one that the locustfile does not have.
    """
    if len(names) > 1:
        raise UsageError(f"{' and '.join(sorted(names))} would disturb each other: choose exactly one user class")
    available = environment.available_user_classes or {}
    name = names[0] if names else DEFAULT
    if name not in available:
        raise UsageError(f"no user class {name!r}: the locustfile has {', '.join(sorted(available))}")
    environment.user_classes[:] = [available[name]]  # type: ignore[list-item]  # a class, whatever it says
