"""What holds for every test."""

from hypothesis import settings

# A time limit for one example judges the machine: beside other work the same example takes ten times as long.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
