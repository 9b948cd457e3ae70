"""The table of options in the documentation: `python -m harness.load.options.table` prints it."""

from harness.load.options.declaration import GROUPS, Option
from harness.load.options.reading import OPTIONS


def options_table() -> str:
    """Return the options as Markdown tables, one for each group."""
    return "\n\n".join(_group(name) for name in GROUPS)


def _group(name: str) -> str:
    rows = "\n".join(_row(each) for each in OPTIONS if each.group == name)
    return f"| {name} | Meaning | Default |\n| --- | --- | --- |\n{rows}"


def _row(each: Option) -> str:
    written = f"{each.flag} {each.metavar}".strip().replace("|", "\\|")
    about = each.about + (f" (for {each.counts_for})" if each.counts_for else "")
    return f"| `{written}` | {about.replace('|', chr(92) + '|')} | {each.shown_default} |"


if __name__ == "__main__":
    print(options_table())
