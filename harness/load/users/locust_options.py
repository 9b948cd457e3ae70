"""Checks of Locust's own options, which it would take as they come, or answer with a traceback and exit code 0 or 1."""

import argparse
import difflib
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from locust import HttpUser, User
from locust.contrib.fasthttp import FastHttpUser

from harness.errors import UsageError
from harness.load.options.checks import number_of_users

_MOST_PROCESSES = 1_000
_OF_LOCUST = (HttpUser, FastHttpUser)


_NOT_TOGETHER = {
    "worker": "a process is the one or the other, so start the master and each worker by a command of its own",
    "processes": "leave --master out: with --processes this process is the master of the others",
}
"""What --master cannot be given with, by name, and what to do. Locust finds it out later, with exit codes 255 and 1."""


def check_values(parser: argparse.ArgumentParser) -> None:
    """Let the parser refuse a number of users or processes that is not one, a user class that no locustfile has, what
    cannot be given together, and a path of the web UI that cannot be one.
    """
    actions = {action.dest: action for action in parser._actions}  # configargparse has no other way to them
    for name in _NOT_TOGETHER:
        pair = parser.add_mutually_exclusive_group()
        pair._group_actions += [actions["master"], actions[name]]
    parser.error = partial(_refuse, parser.error)  # type: ignore[method-assign]  # it never returns either
    for action in actions.values():
        if action.dest == "num_users":
            action.type = _users
        elif action.dest == "processes":
            action.type = _processes
        elif action.dest == "web_base_path":
            action.type = _path
        elif action.dest == "user_classes":
            action.type = partial(_user_class, options=frozenset(parser._option_string_actions))


def _refuse(refuse: Callable[[str], NoReturn], message: str) -> NoReturn:
    """Refuse the command line as the parser does, with what to do where it does not say that itself."""
    for name, remedy in _NOT_TOGETHER.items():
        if "not allowed with" in message and "--master" in message and f"--{name}" in message:
            refuse(f"--master and --{name} do not go together: {remedy}")
    refuse(message)


def _path(text: str) -> str:
    if text and not text.startswith("/"):
        raise argparse.ArgumentTypeError(f"{text!r} does not begin with a slash; write /{text}")
    return text


def _users(text: str) -> int:
    try:
        return number_of_users(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _processes(text: str) -> int:
    try:
        processes = int(text)
    except ValueError:
        processes = 0
    if not (processes == -1 or 1 <= processes <= _MOST_PROCESSES):
        raise argparse.ArgumentTypeError(
            f"{text!r}: a whole number of processes from 1 to {_MOST_PROCESSES:,}, or -1 for one on each core"
        )
    return processes


def _user_class(name: str, options: frozenset[str]) -> str:
    known = sorted(_user_classes())
    if known and name not in known:
        near = difflib.get_close_matches(name, known, 1)
        if not near and _unknown_option(sys.argv[1:], options):
            return name  # its value was taken for a user class: Locust tells of the option
        hint = f"did you mean {near[0]}? " if near else ""
        raise argparse.ArgumentTypeError(f"no user class {name!r}; {hint}There are {', '.join(known)}")
    return name


def _unknown_option(arguments: list[str], options: frozenset[str]) -> bool:
    """Tell whether a long option among `arguments` is none of `options`, nor the beginning of one."""
    flags = [argument.partition("=")[0] for argument in arguments if argument.startswith("--") and len(argument) > 2]
    return any(not any(option.startswith(flag) for option in options) for flag in flags)


def _user_classes() -> set[str]:
    """Return the user classes that have been imported when the command line is read, which Locust does after the
    locustfile.
    """
    found, waiting = set[str](), list(User.__subclasses__())
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        if not cls.abstract and cls not in _OF_LOCUST:
            found.add(cls.__name__)
    return found


def check_tags(options: argparse.Namespace, user_class: type[User]) -> None:
    """Raise UsageError when --tags or --exclude-tags leave `user_class` nothing to do."""
    wanted, unwanted = set(options.tags or ()), set(options.exclude_tags or ())
    if not wanted and not unwanted:
        return
    tags = [set(getattr(each, "locust_tag_set", ())) for each in user_class.tasks]
    if not any((not wanted or each & wanted) and not each & unwanted for each in tags):
        given = " and ".join(
            f"{flag} {' '.join(sorted(names))}"
            for flag, names in (("--tags", wanted), ("--exclude-tags", unwanted))
            if names
        )
        raise UsageError(f"{given} leaves {user_class.__name__} no task; leave it out: chatquota's users have no tags")


def check_web_address(options: argparse.Namespace) -> None:
    """Raise UsageError when the web UI's address cannot be listened on."""
    host = "" if options.web_host == "*" else options.web_host
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, options.web_port))
        except (OSError, OverflowError) as error:
            said = (getattr(error, "strerror", None) or str(error)).lower()
            raise UsageError(
                f"--web-port {options.web_port} on {host or 'all interfaces'}: {said}; choose another with --web-port, or "
                "end the Locust that has it"
            ) from error
