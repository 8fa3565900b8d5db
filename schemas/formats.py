"""The version of what Headrace writes for itself."""

from __future__ import annotations

FORMAT = 9
"""Raised when rows of state, facts, views or tables can no longer be read as they were written.

Who finds another version refuses to start, rather than misread it.
"""
