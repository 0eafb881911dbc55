"""The tables of the first release, and the goods that it sells."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
GOODS = (
    ("Anchor, 10 kg", 8900),
    ("Anchor chain, 20 m", 12900),
    ("Binnacle compass", 34500),
    ("Boat hook", 2450),
    ("Brass lantern", 4950),
    ("Bronze propeller", 41000),
    ("Caulking iron", 1890),
    ("Chart of the strait", 3200),
    ("Fender", 1750),
    ("Hemp rope, 50 m", 6400),
    ("Life buoy", 5600),
    ("Signal flags", 7300),
)


def upgrade() -> None:
    """Make the tables and fill the first one."""
    items = op.create_table(
        "items",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("price_cents", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_items"),
    )
    op.bulk_insert(items, [{"name": name, "price_cents": cents} for name, cents in GOODS])
