"""Routes of the service in a FastAPI application with nothing around them."""

from fastapi import FastAPI

from app import health, items
from app.database import Database
from app.settings import Settings

app = FastAPI()
app.state.database = Database(Settings.from_environment())
app.include_router(health.router)
app.include_router(items.router)
