"""Users of the chandlery: most of them look around and read what they saw, some ask what a basket costs."""

from __future__ import annotations

import random

from locust import FastHttpUser, between, task

PAGE = 10
LINES = 5  # of a basket


class Customer(FastHttpUser):
    """What they share; an answer that never comes is a failure, and not a user who waits for ever."""

    abstract = True
    connection_timeout = 5.0
    network_timeout = 10.0


class Visitor(Customer):
    """Browses and reads; what fails inside `rest`, an assertion too, is counted as a failed request."""

    weight = 4
    wait_time = between(0.1, 0.5)

    def on_start(self) -> None:
        """Begin on the first page."""
        self.seen: list[int] = []
        self.browse()

    @task(3)
    def browse(self) -> None:
        """Look at a page of the list."""
        with self.rest("GET", f"/api/items?limit={PAGE}", name="/api/items") as answer:
            self.seen = [item["id"] for item in answer.js["items"]]
            assert len(self.seen) == PAGE

    @task(5)
    def read(self) -> None:
        """Read one of the items of that page."""
        if not self.seen:
            return
        item = random.choice(self.seen)
        with self.rest("GET", f"/api/items/{item}", name="/api/items/{id}") as answer:
            assert answer.js["id"] == item


class Buyer(Customer):
    """Fills a basket, and asks what it costs."""

    weight = 1
    wait_time = between(0.3, 1.0)

    @task
    def price(self) -> None:
        """Ask for the price of some items."""
        lines = [{"item_id": item, "quantity": random.randint(1, 9)} for item in random.sample(range(1, PAGE), LINES)]
        with self.rest("POST", "/api/prices", json={"lines": lines}, name="/api/prices") as answer:
            assert len(answer.js["lines"]) == LINES
            assert answer.js["total_cents"] > 0
