"""What the service keeps, as tables. How they come to be is in `app.migrations`; a test holds one against the other."""

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)
from sqlalchemy.types import JSON

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

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("owner", String(80), nullable=False),
    Column("plan", String(16), nullable=False),
    Column("plan_at", BigInteger, nullable=False),  # when it was said to be that, in seconds since 1970
    Column("secret_hash", LargeBinary(32), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
)

quotes = Table(
    "quotes",
    metadata,
    Column("id", Id, Identity(), primary_key=True),
    Column("key_id", String(16), ForeignKey("api_keys.id"), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("total_cents", BigInteger, nullable=False),
    Column("lines", JSON, nullable=False),
    Index("ix_quotes_key_id_id", "key_id", "id"),  # a page of one owner's quotes is a range of it
)

usage = Table(
    "usage",
    metadata,
    Column("key_id", String(16), ForeignKey("api_keys.id"), primary_key=True),
    Column("month", Date, primary_key=True),
    Column("used", Integer, nullable=False),
)

webhook_events = Table(
    "webhook_events",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("type", String(100), nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False),
)

webhook_signatures = Table(
    "webhook_signatures",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Index("ix_webhook_signatures_received_at", "received_at"),
)
