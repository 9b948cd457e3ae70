"""What a report loads: nothing that takes longer to load than it would save."""

import subprocess
import sys

import numpy as np
from scipy import special as whole

from harness.quotas import special
from tests.reports.conftest import MakeRun


def loaded_by(code: str, *arguments: str) -> set[str]:
    """Run `code` in a process of its own and return the modules that are loaded at its end."""
    code += "\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_report_without_figures_loads_what_it_needs(make_run: MakeRun) -> None:
    """No tables of pandas, no drawing, no compiler of Fortran and no test suite are loaded for the numbers and the texts."""
    run = make_run()
    code = "import sys\nfrom harness.command import main\nmain(['report', sys.argv[1], '--no-figures', '--quiet'])"
    loaded = loaded_by(code, str(run))
    assert (run / "report.html").exists()
    slow = {"pandas", "matplotlib", "numpy.testing", "numpy.f2py", "pyarrow.compute", "scipy.stats"}
    assert not slow & loaded


def test_numpy_is_whole_after_scipys_functions_are_loaded() -> None:
    """What was hidden while they were loaded is there for whoever asks for it, and they are scipy's own."""
    code = "from harness.quotas import special\nimport numpy\nnumpy.testing.assert_equal(1, 1)\nnumpy.f2py.__name__"
    assert {"numpy.testing", "numpy.f2py"} <= loaded_by(code)
    assert special.ndtr(np.array([0.5])) == whole.ndtr(np.array([0.5]))
