"""The gates of a pull request."""
