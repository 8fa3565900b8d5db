"""Headrace: the command line and the client library."""
