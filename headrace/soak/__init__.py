"""Soaking: workers are restarted one after the other, for long, while events and reads go on."""
