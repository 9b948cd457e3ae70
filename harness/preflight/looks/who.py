"""Who would run the test: account, principal, Region, and how long the credentials last."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import BotoCoreError, ClientError

from harness.preflight.model.asking import Account, ask, code_of, one_line
from harness.preflight.model.intent import Intent
from harness.preflight.model.rows import NotKnown, Row

_RENEWED = frozenset({"assume-role", "assume-role-with-web-identity", "iam-role", "container-role", "sso", "login"})
"""botocore's names for the sources of credentials that it renews by itself."""


def principal_of(account: Account) -> tuple[str, str]:
    """Return account id and ARN of the credentials. Raises NotKnown or ClientError."""
    found = ask("sts:GetCallerIdentity", account.sts.get_caller_identity)
    return found["Account"], found["Arn"]


def check_who(account: Account, intent: Intent) -> Iterator[Row]:
    """Yield the rows on the caller and on how long its credentials last."""
    try:
        number, arn = principal_of(account)
        yield Row(check="account", state="ok", text=f"account {number}, {arn}, Region {account.region}")
    except ClientError as error:
        yield Row(
            check="account",
            state="stop",
            text=f"AWS refuses the credentials ({code_of(error)}); check AWS_PROFILE and the machine's clock",
        )
    except NotKnown as unknown:
        yield unknown.row("account")
    yield _lifetime(account, intent)


def _lifetime(account: Account, intent: Intent) -> Row:
    try:
        found = account.session.get_credentials()
    except BotoCoreError as error:
        return Row(check="credentials", state="stop", text=f"{one_line(error)}; check AWS_PROFILE")
    if found is None:
        text = "there are none: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        return Row(check="credentials", state="stop", text=text)
    if found.method in _RENEWED:
        return Row(check="credentials", state="ok", text=f"from {found.method}: renewed by themselves")
    needed = intent.expected_seconds or 3600.0
    refresh_needed = getattr(found, "refresh_needed", None)
    if refresh_needed is not None:
        if refresh_needed(refresh_in=needed):
            text = f"from {found.method}: they expire within the {needed / 60:.0f} min of the run; renew them first"
            return Row(check="credentials", state="stop", text=text)
        return Row(
            check="credentials", state="ok", text=f"from {found.method}: they last longer than {needed / 60:.0f} min"
        )
    if found.token:
        text = f"from {found.method}: temporary, for how long is not told; see that they last {needed / 60:.0f} min"
        return Row(check="credentials", state="not_known", text=text)
    return Row(check="credentials", state="ok", text=f"from {found.method}: long-lived keys")
