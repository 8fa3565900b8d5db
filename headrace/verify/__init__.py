"""Runs events through the whole pipeline and compares every view with the oracle."""
