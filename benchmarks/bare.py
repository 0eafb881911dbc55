"""The routes of `app.health` in a FastAPI application with nothing around them."""

from fastapi import FastAPI

from app import health

app = FastAPI()
app.include_router(health.router)
