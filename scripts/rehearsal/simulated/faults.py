"""What can go wrong on a target, by name: each sets one or two attributes of its cloud."""

from __future__ import annotations

import math
from collections.abc import Callable

from scripts.errors import ConfigError, PlatformError, PlatformUnreachable
from scripts.rehearsal.simulated.moments import NEW, NEWER, OLDER
from scripts.rehearsal.simulated.world import PairWorld

Fault = Callable[[PairWorld], None]
REFUSAL = PlatformError("refused by the platform")
GONE = PlatformUnreachable("no connection")


def on(target: str, **attributes: object) -> Fault:
    """Give what sets attributes of one cloud."""

    def set_them(world: PairWorld) -> None:
        for name, value in attributes.items():
            if not hasattr(world.clouds[target], name):
                raise AttributeError(f"{target} has no fault {name}")
            setattr(world.clouds[target], name, value)

    return set_them


def both(*faults: Fault) -> Fault:
    """Give several faults at once."""

    def set_all(world: PairWorld) -> None:
        for fault in faults:
            fault(world)

    return set_all


def sick_at(target: str, moment_s: float) -> Fault:
    """Give what makes the candidate sick on a target at a moment, for its users only where the target stages."""

    def fall_sick(world: PairWorld) -> None:
        world.clouds[target].at(moment_s, lambda: world.clouds[target].sick.add(NEW))

    return fall_sick


VERCEL: dict[str, Fault] = {
    "deploy is refused": on("vercel", refuses={"deploy": REFUSAL}),
    "token is wrong": on("vercel", refuses={"deploy": ConfigError("the token is wrong")}),
    "deploy is lost": on("vercel", unknown_outcome={"deploy": False}),
    "deploy fails": on("vercel", fails_to_build={NEW}),
    "building is stuck": on("vercel", slow={NEW: math.inf}),
    "building is stuck for good": on("vercel", slow={NEW: math.inf}, cancel_ignored=True),
    "state is not known": on("vercel", unknown_status={NEW}),
    "staged is sick": on("vercel", sick={NEW}),
    "dies on import": on("vercel", dies_on_import={NEW}),
    "staged cannot name its commit": on("vercel", nameless={NEW}),
    "promote is refused": on("vercel", refuses={"promote": REFUSAL}),
    "promote is unreachable": on("vercel", refuses={"promote": GONE}),
    "promote is lost": on("vercel", unknown_outcome={"promote": False}),
    "promote is done, unheard": on("vercel", unknown_outcome={"promote": True}),
    "promote is never done": on("vercel", promote_never_ends=True),
    "promote is never done and holds the project": on("vercel", promote_never_ends=True, refuses_while_moving=True),
    "promote is queued": on("vercel", promote_queued_s=400.0),
    "promote is said and not done": on("vercel", promote_without_effect=True),
    "sick in production": on("vercel", sick_in_production={NEW}),
    "sick under traffic": sick_at("vercel", 30),
}
RENDER: dict[str, Fault] = {
    "render: deploy is refused": on("render", refuses={"deploy": REFUSAL}),
    "render: build fails": on("render", fails_to_build={NEW}),
    "render: build too slow": on("render", slow={NEW: 350.0}),
    "render: sick at once": on("render", sick={NEW}),
    "render: sick under traffic": sick_at("render", 36),
}
ROLLBACK: dict[str, Fault] = {
    "rollback is refused": on("vercel", refuses={"roll_back": REFUSAL}),
    "rollback does nothing": on("vercel", rollback_without_effect=True),
    "rollback never ends": on("vercel", rollback_never_ends=True),
    "rollback is done, unheard": on("vercel", unknown_outcome={"roll_back": True}),
    "rollback is lost": on("vercel", unknown_outcome={"roll_back": False}),
    "API is down after the rollback": on("vercel", down_after={"roll_back": 40}),
    "render: rollback is refused": on("render", refuses={"roll_back": REFUSAL}),
    "render: rollback does nothing": on("render", rollback_without_effect=True),
    "render: rollback fails": on("render", rollback_fails=True),
    "render: rollback is done, unheard": on("render", unknown_outcome={"roll_back": True}),
}


def person(target: str, moment_s: float, act: str, commit: str) -> Fault:
    """Give what lets a person act on a target at a moment."""

    def begin(world: PairWorld) -> None:
        world.clouds[target].at(moment_s, lambda: getattr(world.clouds[target], act)(commit))

    return begin


def staged_by_another(moment_s: float) -> Fault:
    """Give what lets a person stage the same commit, and nothing more, at a moment."""
    return person("vercel", moment_s, "someone_stages", NEW)


PEOPLE: dict[str, Fault] = {
    "a person promotes another while render builds": person("vercel", 14, "someone_promotes", OLDER),
    "a person rolls back before the promotion": person("vercel", 20, "someone_rolls_back", OLDER),
    "a person pushes another while it builds": person("vercel", 20, "someone_pushes", NEWER),
    "a person pushes the same commit": person("vercel", 14, "someone_pushes", NEW),
    "render: a person deploys another while it builds": person("render", 10, "someone_deploys", NEWER),
    "render: a person rolls back before the promotion": person("render", 20, "someone_rolls_back", OLDER),
}
