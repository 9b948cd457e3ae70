"""The locks: pip, which checks hashes and takes nothing that is not locked, can install from them."""

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent.parent
LOCKS = sorted(ROOT.glob("requirements*.lock"))


def locked(text: str) -> dict[str, set[str]]:
    """Return the packages of a lock that this platform gets, each with the extras that its line names."""
    found: dict[str, set[str]] = {}
    for line in re.findall(r"(?m)^[A-Za-z0-9][^\\\n]*", text):
        requirement = Requirement(line.strip())
        if requirement.marker is None or requirement.marker.evaluate():
            found.setdefault(canonicalize_name(requirement.name), set()).update(requirement.extras)
    return found


def requirements_of(package: Distribution, extras: set[str]) -> Iterator[Requirement]:
    """Yield what a package with `extras` requires on this platform."""
    for text in package.requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def refused(packages: dict[str, set[str]]) -> list[str]:
    """Return the requirements that pip would refuse: on a package that is not locked, or not with that extra."""
    found = []
    for name, extras in packages.items():
        try:
            package = distribution(name)
        except PackageNotFoundError:  # for another platform, or of the other lock
            continue
        for needed in requirements_of(package, extras):
            there = packages.get(canonicalize_name(needed.name))
            if there is None or not needed.extras <= there:
                found.append(f"{name} needs {needed}")
    return found


@pytest.mark.parametrize("path", LOCKS, ids=[path.name for path in LOCKS])
def test_each_lock_holds_all_that_its_packages_need(path: Path) -> None:
    """Whatever a locked package requires is locked too, and with the extras that it is required with."""
    assert refused(locked(path.read_text())) == []


def test_a_lock_without_an_extra_is_refused() -> None:
    """A lock that names a package without the extra that another one needs is found, as pip finds it."""
    text = (ROOT / "requirements-dev.lock").read_text()
    assert [line for line in refused(locked(text.replace("coverage[toml]", "coverage"))) if "coverage" in line]
