"""Simulated releases, to state how often the judge is wrong; a tool, that no release needs."""
