"""Campaigns: very many records of one sort, each of which must be accounted for."""
