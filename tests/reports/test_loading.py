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
    not_asked_for = {
        "rich",
        "tomllib",
        "xml.etree.ElementTree",
        "reports.compare.baseline",
        "reports.page.request.text",
    }
    assert not (slow | not_asked_for) & loaded


def test_the_process_that_draws_loads_what_it_draws_with() -> None:
    """Neither matplotlib's other dimensions nor a reader of samples, also where a table is drawn with pandas."""
    loaded = loaded_by(
        "from reports.figures.loading import load_drawing\nload_drawing()\nimport reports.figures.variety"
    )
    assert {"pandas", "matplotlib"} <= loaded
    assert not {"mpl_toolkits.mplot3d.axes3d", "pyarrow.lib"} & loaded


def test_scipy_is_whole_after_its_functions_are_loaded() -> None:
    """Of scipy's package its functions alone are loaded, and all of it is there for whoever asks for it."""
    alone = loaded_by("from harness.quotas import special")
    assert not {"scipy.special", "scipy._lib._docscrape", "numpy.random", "numpy.testing"} & alone
    code = "from harness.quotas import special\nfrom scipy import special as whole, stats\nstats.norm.cdf(1)\n"
    assert "scipy.stats" in loaded_by(f"{code}assert whole.ndtr is special.ndtr and whole.jv(1, 0) == 0")
    assert special.ndtr(np.array([0.5])) == whole.ndtr(np.array([0.5]))
