"""The smallest FastAPI application that reads something of a request, for what an import of FastAPI itself costs."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/{name}")
async def answer(name: str) -> dict[str, str]:
    """Answer."""
    return {"name": name}
