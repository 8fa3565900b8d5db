"""Delivers notifications to devices and to the operator's own endpoint; one file per system."""
