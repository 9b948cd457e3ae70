"""A certificate authority of the emulator's own, and the certificate that it has signed for the server."""

import ipaddress
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from harness.emulator.settings.values import SettingsError

# Browsers refuse certificates of longer life.
_DAYS = "397"


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files in PEM form: the server's certificate and key, and the authority that clients have to trust."""

    certificate: Path
    key: Path
    authority: Path


def make_certificate(directory: Path, names: Sequence[str]) -> Certificate:
    """Return a certificate for `names` (DNS names or IP addresses), made in `directory`; an authority there is used again.

    Raises SettingsError where the openssl program is not there or fails.
    """
    openssl = which("openssl")
    if openssl is None:
        raise SettingsError(
            "--tls makes its certificate with the openssl program, which is not on PATH; install openssl"
        )
    made = Certificate(directory / "server.pem", directory / "server.key", directory / "ca.pem")
    authority_key = directory / "ca.key"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    directory.mkdir(parents=True, exist_ok=True)
    if not (made.authority.exists() and authority_key.exists()):
        settings = directory / "ca.cnf"
        settings.write_text(
            "[req]\ndistinguished_name=name\nx509_extensions=authority\nprompt=no\n"
            "[name]\nCN=chatquota emulator (this machine only)\n"
            "[authority]\nbasicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
            "subjectKeyIdentifier=hash\n"
        )
        _run(openssl, "req", "-x509", *curve, "-days", _DAYS, "-config", settings, "-keyout", authority_key, "-out", made.authority)  # fmt: skip # noqa: E501
        authority_key.chmod(0o600)
    extensions, request = directory / "server.cnf", directory / "server.csr"
    extensions.write_text(
        "[req]\ndistinguished_name=name\nprompt=no\n[name]\nCN=chatquota emulator\n[server]\n"
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        f"subjectAltName={','.join(_alternative(name) for name in dict.fromkeys(names))}\n"
    )
    _run(openssl, "req", "-new", *curve, "-config", extensions, "-keyout", made.key, "-out", request)
    made.key.chmod(0o600)
    _run(openssl, "x509", "-req", "-in", request, "-CA", made.authority, "-CAkey", authority_key, "-CAcreateserial", "-days", _DAYS, "-extfile", extensions, "-extensions", "server", "-out", made.certificate)  # fmt: skip # noqa: E501
    return made


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise SettingsError(f"--tls: openssl failed: {done.stderr.strip()}")


def _alternative(name: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"
