"""What the service keeps, as tables. How they come to be is in `app.migrations`; a test holds one against the other."""

from sqlalchemy import (
    BigInteger,
    Column,
    Identity,
    Integer,
    MetaData,
    String,
    Table,
)

NAMES = {  # so that a constraint has the same name in every database, and a later migration can name it
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMES)
Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only what is an INTEGER PRIMARY KEY

items = Table(
    "items",
    metadata,
    Column("id", Id, Identity(), primary_key=True),
    Column("name", String(80), nullable=False),
    Column("price_cents", Integer, nullable=False),
)
