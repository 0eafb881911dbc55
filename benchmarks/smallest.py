"""The smallest FastAPI application, for what an import of FastAPI itself costs."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def answer() -> dict[str, str]:
    """Answer."""
    return {}
