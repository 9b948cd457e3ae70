"""`chatquota compare`: regressions between runs."""
