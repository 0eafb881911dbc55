"""What Alembic runs for each migration: on the connection, and in the transaction, that `app.schema` gives it."""

from alembic import context

from app.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
