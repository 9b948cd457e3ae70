"""`chatquota emulator`: reads the options, serves, and prints one line of JSON once it listens."""

import argparse
import errno
import ipaddress
import json
import re
import socket
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from harness.emulator.settings.parse import parse_settings
from harness.emulator.settings.settings import Settings
from harness.emulator.settings.values import SettingsError, short

if TYPE_CHECKING:
    from harness.emulator.http.certificate import Certificate

EXIT_USAGE = 2
_FASTEST = 1e9  # of --time-scale
_NODE_HELPER = Path(__file__).resolve().parents[2] / "chatquota" / "node" / "emulator.js"
# Where clients on this machine reach what listens on an address that is not one to connect to.
_REACHED_AT = {"0.0.0.0": "127.0.0.1", "::": "::1", "localhost": "127.0.0.1"}


class _Parser(argparse.ArgumentParser):
    """The emulator shares no code with the rest of the harness, so it has a parser of its own."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: {message}; see '{self.prog} --help'\n")


def main(argv: list[str]) -> int:
    """Run `chatquota emulator` with `argv`; returns the exit code: 0 stopped, 2 usage."""
    options = _parser().parse_args(argv)
    if options.list_settings:
        print(settings_table())
        return 0
    if options.node_helper:
        print(_NODE_HELPER)
        return 0
    # Imported late: --help and mistakes need no server.
    from harness.emulator.http.server import is_loopback, listen, serve

    of_its_own = options.tls == ""  # nothing is left behind by an emulator that is killed and needs no directory
    with tempfile.TemporaryDirectory(prefix="chatquota-tls-") if of_its_own else nullcontext("") as scratch:
        try:
            settings = parse_settings(*options.emulator)
            _check_options(options)
            certificate = None if options.tls is None else _certificate(options, Path(options.tls or scratch))
            listener = listen(options.bind, options.port)
        except SettingsError as error:
            return _refuse(str(error))
        except OSError as error:
            instead = (
                "give --bind an address of this machine, such as 127.0.0.1" if _elsewhere(error) else "try --port 0"
            )
            return _refuse(f"cannot listen on {options.bind}:{options.port}: {error.strerror or error}; {instead}")
        if not is_loopback(options.bind):
            print(
                f"chatquota emulator: {options.bind} is not loopback: everyone who reaches this port can call it",
                file=sys.stderr,
            )
        host = options.advertise or _REACHED_AT.get(options.bind, options.bind)
        authority = f"[{host}]" if ":" in host else host
        authority = f"{authority}:{listener.getsockname()[1]}"

        def ready() -> None:
            print(_where(settings, authority, certificate), flush=True)

        serve(settings, listener, authority, options.time_scale, options.lifeline, ready, certificate)
    return 0


def _check_options(options: argparse.Namespace) -> None:
    if not 0 < options.time_scale < _FASTEST:
        raise SettingsError(f"--time-scale {options.time_scale:g}: wants a number above 0 and below {_FASTEST:g}")
    if not 0 <= options.port < 65536:
        raise SettingsError(f"--port {options.port}: wants 0 (any free port) to 65535")
    if not options.bind:
        raise SettingsError("--bind: wants an address of this machine, such as 127.0.0.1 or 0.0.0.0")
    host = options.advertise
    if host is not None and not (_is_address(host) or re.fullmatch(r"[A-Za-z0-9._-]{1,253}", host)):
        raise SettingsError(f"--advertise {short(host)}: wants a host name or an address, without scheme and port")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _elsewhere(error: OSError) -> bool:
    """Whether `error` says that no address of this machine was named."""
    return isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL


def _where(settings: Settings, authority: str, certificate: "Certificate | None") -> str:
    """Return the line that tells a client all that it needs, as JSON."""
    endpoint = f"http://{authority}" if certificate is None else f"https://{authority}"
    line = {
        "endpoint": endpoint,
        "participant_endpoint": endpoint,
        "region": settings.region,
        "instance_id": settings.instance_id,
        "contact_flow_id": settings.contact_flow_id,
        "access_key_id": settings.access_key_id,
        "secret_access_key": settings.secret_access_key,
    }
    if certificate is not None:
        line["ca_bundle"] = str(certificate.authority)
    return json.dumps(line)


def _certificate(options: argparse.Namespace, directory: Path) -> "Certificate":
    from harness.emulator.http.certificate import make_certificate

    names = ["127.0.0.1", "::1", "localhost", socket.gethostname()]
    names += [name for name in (options.advertise, options.bind) if name not in (None, "0.0.0.0", "::")]
    try:
        return make_certificate(directory.resolve(), names)
    except OSError as error:
        raise SettingsError(
            f"--tls {short(str(directory))}: {error.strerror or error}; give a directory that can be written to"
        ) from None


def settings_table() -> str:
    """Every setting, its default, what it is and what is in doubt about it, as a Markdown table."""
    rows = ["| setting | default | what it is | doubt |", "| --- | --- | --- | --- |"]
    for item in fields(Settings):
        if item.metadata:
            about, doubt = item.metadata["about"], item.metadata["doubt"]
            rows.append(f"| `{item.name}` | `{_shown(item.default)}` | {about} | {doubt} |")
    return "\n".join(rows)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "same"
    if isinstance(value, float):
        return "never" if value == float("inf") else f"{value:g}"
    return str(value)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="chatquota emulator",
        description="Serve a local Amazon Connect chat with known limits; one line of JSON tells where.",
    )
    parser.add_argument(
        "--emulator", metavar="SPEC", action="append", default=[], help="settings as key=value,key=value (repeatable)"
    )
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: any free one)")
    parser.add_argument("--bind", default="127.0.0.1", help="address to listen on (default: loopback only)")
    parser.add_argument(
        "--advertise", metavar="HOST", help="host by which clients reach it, where that is not the address it binds"
    )
    parser.add_argument(
        "--time-scale", type=float, default=1.0, metavar="N", help="run its clock N times faster (default: 1)"
    )
    parser.add_argument("--lifeline", action="store_true", help="exit when standard input ends")
    parser.add_argument(
        "--tls",
        metavar="DIR",
        nargs="?",
        const="",
        help="serve https:// and wss:// with a certificate of its own; DIR keeps its authority (ca.pem) for later runs",
    )
    parser.add_argument(
        "--node-helper",
        action="store_true",
        help="print the path of the module that starts it from Node tests, and exit",
    )
    parser.add_argument("--list-settings", action="store_true", help="print every setting and exit")
    return parser


def _refuse(text: str) -> int:
    line = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    print(f"chatquota emulator: {line}", file=sys.stderr)
    return EXIT_USAGE
