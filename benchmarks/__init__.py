"""What surrounds a request, and what a start costs, beside bare FastAPI: `python -m benchmarks`."""
