"""Both platforms in memory, on a clock that does not wait, and the real stages between: a release in milliseconds."""
