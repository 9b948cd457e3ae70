"""The exact inference of a TPS limit: which single limiter explains every decision?"""
