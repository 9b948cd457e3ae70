"""The special functions of scipy that the inference and the reports use, without most of what `scipy.special` loads.

The package describes each of its functions for other libraries of arrays, which takes longer than all else that a report
loads; the functions themselves are one compiled module. Whoever imports `scipy.special` later gets all of it.
"""

import importlib
import sys
from types import ModuleType

import scipy

_PACKAGE = "scipy.special"


def _compiled() -> ModuleType:
    """Load the compiled functions within a package that is empty but for them, if the whole one is not there already."""
    if _PACKAGE in sys.modules:
        return sys.modules[_PACKAGE]
    empty = ModuleType(_PACKAGE)
    empty.__path__ = [f"{folder}/special" for folder in scipy.__path__]
    sys.modules[_PACKAGE] = empty
    try:
        return importlib.import_module(f"{_PACKAGE}._ufuncs")
    except ImportError:  # a scipy that keeps them elsewhere
        del sys.modules[_PACKAGE]
        return importlib.import_module(_PACKAGE)
    finally:
        if sys.modules.get(_PACKAGE) is empty:
            del sys.modules[_PACKAGE]


_functions = _compiled()
betaincinv, chdtrc, gammaincinv, gammaln = (
    _functions.betaincinv,
    _functions.chdtrc,
    _functions.gammaincinv,
    _functions.gammaln,
)
ndtr, ndtri, stdtr, stdtrit = _functions.ndtr, _functions.ndtri, _functions.stdtr, _functions.stdtrit

__all__ = ["betaincinv", "chdtrc", "gammaincinv", "gammaln", "ndtr", "ndtri", "stdtr", "stdtrit"]
