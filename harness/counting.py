"""Writes how many of something there are: one chat, two chats."""

ONE = ("1", "exactly 1", "at least 1")


def counted(count: float | str, one: str, more: str | None = None) -> str:
    """Return "1 chat" or "1,234 chats": a number, or the text of one, with `one` or `more`, by default `one` with an s.

    Words that go with it stand in both: counted(1, "chat was left open", "chats were left open").
    """
    text = count if isinstance(count, str) else f"{count:,.0f}" if float(count).is_integer() else f"{count:g}"
    return f"{text} {one if text in ONE else more or one + 's'}"


def plain(value: float, digits: int = 3) -> str:
    """Write a finite number with so many significant digits, thousands grouped, and never with an exponent."""
    return f"{float(f'{value:.{digits}g}'):,.9f}".rstrip("0").rstrip(".")
