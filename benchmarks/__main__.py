"""`python -m benchmarks [NAME ...]`: run every benchmark, or those named, each as a process of its own."""

import argparse
import ast
import subprocess
import sys
import time
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def find() -> dict[str, str]:
    """Every module here that has a `main`, by name, with the first line of its docstring."""
    found = {}
    for path in sorted(_HERE.glob("*.py")):
        if path.stem.startswith("__"):
            continue
        tree = ast.parse(path.read_text("utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            found[path.stem] = (ast.get_docstring(tree) or "").split("\n", 1)[0]
    return found


def main() -> int:
    """Run them one after another; exit code 1 when one of them did not do what it claims."""
    benchmarks = find()
    listing = "\n".join(f"  {name:<22}{line}" for name, line in benchmarks.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=f"benchmarks:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run (default: all)")
    names = parser.parse_args().names or list(benchmarks)
    unknown = [name for name in names if name not in benchmarks]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(benchmarks)}")
    failed = []
    for name in names:
        print(f"\n=== {name}: {benchmarks[name]}", flush=True)
        began = time.monotonic()
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=_HERE.parent, check=False).returncode:
            failed.append(name)
        print(f"--- {name}: {time.monotonic() - began:.0f} s", flush=True)
    if failed:
        print(f"\nnot as claimed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
