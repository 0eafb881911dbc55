"""What holds for every test."""

import os

from hypothesis import settings

from app.settings import Settings

# What a developer has set for the service is nothing to its tests, but for the servers that they may use.
Settings.model_config["env_file"] = None
for name in Settings.model_fields.keys() - {"database_url", "redis_url"}:
    os.environ.pop(name.upper(), None)

# A time limit for one example judges the machine: beside other work the same example takes ten times as long.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
