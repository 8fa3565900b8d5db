"""Breaks the running pipeline on purpose, and shows that its views are right afterwards."""
