"""Rebuilds timelines in Redis and Cassandra from the log of what was put on them."""
