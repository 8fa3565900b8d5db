"""Streams: what changes on a user's timeline, sent while it happens."""
