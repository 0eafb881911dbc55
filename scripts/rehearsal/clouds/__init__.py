"""Emulated platforms. Each speaks its platform's API and runs the real service behind an edge."""
