"""`chatquota completion SHELL`: the completion of commands and options, made from what each command declares."""

import io
import re
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout

from harness.errors import Parser

SHELLS = ("bash", "zsh", "fish")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")
_USERS = ("ChatConversation", "QuotaProbe", "StartChat")

_BASH = """# chatquota completion for bash: put `source <(chatquota completion bash)` into ~/.bashrc
_chatquota() {{
  local words current="${{COMP_WORDS[COMP_CWORD]}}"
  if [ "$COMP_CWORD" -eq 1 ]; then words="{commands}"; else
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _chatquota chatquota
"""

_ZSH = """#compdef chatquota
# chatquota completion for zsh: put `source <(chatquota completion zsh)` into ~/.zshrc, after compinit
_chatquota() {{
  if (( CURRENT == 2 )); then compadd -- {commands}; return; fi
  case "$words[2]" in
{cases}
  esac
  _files
}}
compdef _chatquota chatquota
"""


def main(argv: list[str]) -> int:
    """Print the completion script of a shell; return 0."""
    parser = Parser(prog="chatquota completion", description="Print the completion script of a shell.")
    parser.add_argument(
        "shell", choices=SHELLS, help="for bash: put `source <(chatquota completion bash)` in ~/.bashrc"
    )
    shell = parser.parse_args(argv).shell
    sys.stdout.write(script(shell, words_by_command()))
    return 0


def words_by_command() -> dict[str, tuple[str, ...]]:
    """Return what may follow each command: its options, and for `run` the user classes and Locust's options too."""
    from harness.command import COMMANDS

    found = {name: _options_of(name) for name in COMMANDS if name != "completion"}
    found["run"] = (*_USERS, *sorted({*found["run"], *_locust_options()}))
    found["completion"] = SHELLS
    return found


def _options_of(command: str) -> tuple[str, ...]:
    """Return the options that a command's own help names: each command keeps its parser to itself."""
    from harness.command import main as chatquota

    said = io.StringIO()
    try:
        with redirect_stdout(said):
            chatquota([command, "--help"])
    except SystemExit:  # argparse's way to end after --help
        pass
    return tuple(sorted({*_OPTION.findall(said.getvalue()), "--help"}))


def _locust_options() -> set[str]:
    """Return the long options of Locust, from its own help; a process of its own, since Locust patches the one it is in."""
    command = [sys.executable, "-P", "-m", "locust", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tempfile.gettempdir()).stdout
    return set(_OPTION.findall(said))


def script(shell: str, words: dict[str, tuple[str, ...]]) -> str:
    """Return the completion script of `shell` for commands and what may follow each."""
    if shell == "fish":
        lines = [
            "# chatquota completion for fish: chatquota completion fish > ~/.config/fish/completions/chatquota.fish"
        ]
        lines += [f"complete -c chatquota -n __fish_use_subcommand -f -a {name}" for name in words]
        for name, following in words.items():
            seen = f"-n '__fish_seen_subcommand_from {name}'"
            for word in following:
                what = f"-l {word[2:]}" if word.startswith("--") else f"-a {word}"
                lines.append(f"complete -c chatquota {seen} {what}")
        return "\n".join(lines) + "\n"
    if shell == "zsh":
        cases = "\n".join(f"    {name}) compadd -- {' '.join(following)} ;;" for name, following in words.items())
        return _ZSH.format(commands=" ".join(words), cases=cases)
    cases = "\n".join(f'      {name}) words="{" ".join(following)}" ;;' for name, following in words.items())
    return _BASH.format(commands=" ".join(words), cases=cases)
