"""The module for Node: what it refuses is an EmulatorError that says why."""

import json
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = """
const { startEmulator } = require(process.argv[1]);
(async () => {
  const service = await startEmulator({}, { command: JSON.parse(process.argv[2]) });
  const said = [];
  const ask = async (call) => {
    try { await call(); said.push("answered"); } catch (problem) { said.push(`${problem.name}: ${problem.message}`); }
  };
  for (const id of ["nobody", "a/b", "ä?", ""]) await ask(() => service.chat(id));
  await ask(() => service.settings({ ratee: 5 }));
  await service.close();
  await ask(() => service.state());
  console.log(JSON.stringify(said));
})();
"""


@pytest.mark.skipif(which("node") is None, reason="Node.js is not installed")
def test_refuses_with_an_error_that_says_why() -> None:
    """Ids that are none, a wrong setting and an emulator that has ended are told, and nothing is thrown past the caller."""
    command = json.dumps([sys.executable, "-m", "harness.emulator"])
    helper = str(ROOT / "chatquota" / "node" / "emulator.js")
    done = subprocess.run(
        ["node", "-e", _PROGRAM, helper, command], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    for text, expected in zip(
        said,
        ["no such chat", "no page", "no such chat", "the contact id is empty", "did you mean 'rate'", "has ended"],
        strict=True,
    ):
        assert text.startswith("EmulatorError: ")
        assert expected in text
