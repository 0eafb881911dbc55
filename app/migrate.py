"""Bring the database up to date, as `python -m app.migrate`: Render's pre-deploy command, and by hand elsewhere.

Only ever forward: a rollback leaves the schema as it is (`app.schema`).
"""

import sys

from app.schema import NEWEST, bring_up_to_date
from app.settings import Settings


def main() -> int:
    """Migrate, and say from where to where; 0 where the schema is then what this release needs.

    Raises:
        SettingsError: the environment is wrong.
    """
    settings = Settings.from_environment()
    try:
        before = bring_up_to_date(settings)
    except Exception as error:  # noqa: BLE001 - whatever a driver raises, the deploy is to stop; its text may hold a URL
        print(f"The database was not migrated: {type(error).__name__}. Is DATABASE_URL right?", file=sys.stderr)  # noqa: T201
        return 1
    told = "as it was" if before is not None and before >= NEWEST else f"migrated, from {before or 'nothing'}"
    print(f"The schema is at {max(before or '', NEWEST)}: {told}.")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
