"""Placement's API: the only package that speaks HTTP."""
