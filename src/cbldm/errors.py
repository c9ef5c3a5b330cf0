"""Errors that a user can act on: one line that says what was got, where, and what is allowed."""

from __future__ import annotations


class CbldmError(Exception):
    """Base of every error that cbldm raises on purpose; the CLI prints it as one line and exits with code 2."""


class InputError(CbldmError):
    """A file, array or option that cannot be used as given."""


class ModelError(CbldmError):
    """Weights that are missing, damaged or of another version than the code."""
