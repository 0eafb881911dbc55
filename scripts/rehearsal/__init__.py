"""The cloud in a folder: emulated platforms, an edge, user traffic and drills, all on loopback.

Production code never imports this package, and this package never imports production code: the emulators judge it.
"""
