"""Slipway: check a change, ship it, prove that it serves, haul it back when it does not."""
