"""The special functions of scipy that the inference and the reports use, without half a second of its imports.

`scipy.special` looks at every public name of numpy, which loads all its parts: a compiler of Fortran (`numpy.f2py`) and a
test suite among them, more than everything else that a report loads. They are hidden from it; who wants one later gets it.
"""

import numpy as np

_UNWANTED = ("ctypeslib", "f2py", "ma", "polynomial", "testing")

_hidden = [name for name in _UNWANTED if name not in vars(np)]
for _name in _hidden:
    setattr(np, _name, None)
try:
    from scipy.special import (
        betaincinv,
        chdtrc,
        gammaincinv,
        gammaln,
        logsumexp,
        ndtr,
        ndtri,
        stdtr,
        stdtrit,
    )
finally:
    for _name in _hidden:
        if vars(np).get(_name, 0) is None:
            delattr(np, _name)

__all__ = ["betaincinv", "chdtrc", "gammaincinv", "gammaln", "logsumexp", "ndtr", "ndtri", "stdtr", "stdtrit"]
