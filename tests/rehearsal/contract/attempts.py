"""All that can be asked of a platform, tried at once, and what each attempt ended with."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from scripts.clock import Clock, Deadline
from scripts.errors import SlipwayError
from scripts.platforms import Platform
from scripts.redaction import keys_in_url
from scripts.release import Deployment, DeployState, Sha
from tests.rehearsal.contract.front import Weather
from tests.rehearsal.contract.ground import Ground

Act = Callable[[Platform, Deadline], object]
READS = frozenset({"fetch_history", "fetch_deployment"})


@dataclass(frozen=True)
class Settled:
    """A ground on which a release took the place of another and, where that can be, a third waits; nothing moves."""

    ground: Ground
    old: Deployment
    live: Deployment
    candidate: Deployment
    next_commit: Sha

    def acts(self) -> dict[str, Act]:
        """Give every call of the protocol that asks a platform for something, by its name."""
        live, asked_for = self.live.id or "", replace(self.live, state=DeployState.QUEUED)
        acts: dict[str, Act] = {
            "fetch_history": lambda platform, deadline: platform.fetch_history(deadline),
            "fetch_deployment": lambda platform, deadline: platform.fetch_deployment(live, deadline),
            "deploy": lambda platform, deadline: platform.deploy(self.next_commit, deadline),
            "roll_back": lambda platform, deadline: platform.roll_back(self.ground.baseline(self.old), deadline),
            "cancel": lambda platform, deadline: platform.cancel(asked_for, deadline),
        }
        if self.ground.traits.stages:
            acts["promote"] = lambda platform, deadline: platform.promote(self.candidate, deadline)
        return acts


@dataclass(frozen=True)
class Attempt:
    """How one call ended; `took_s` by the adapter's clock."""

    error: BaseException | None
    took_s: float


def attempt(
    settled: Settled, weather: Weather, limit_s: float, clock: Clock, *, without: frozenset[str] = frozenset()
) -> Mapping[str, Attempt]:
    """Try all acts under a weather, side by side, or in turn where it breaks out with each; none tells a secret."""
    names = sorted(settled.acts().keys() - without)
    turns = [[name] for name in names] if weather.since else [names]
    attempts: dict[str, Attempt] = {}
    for turn in turns:
        with settled.ground.front.under(weather):
            attempts |= attempt_each(settled, turn, {}, limit_s, clock)
    return attempts


def attempt_each(
    settled: Settled, names: Collection[str], secrets: Mapping[str, str], limit_s: float, clock: Clock
) -> Mapping[str, Attempt]:
    """Try some acts side by side, with other secrets; none of their errors may tell a secret."""
    acts = settled.acts()
    with ThreadPoolExecutor(len(names)) as threads:
        begun = {
            name: threads.submit(_try, acts[name], settled.ground.adapter(clock, **secrets), limit_s, clock)
            for name in names
        }
    attempts = {name: row.result() for name, row in begun.items()}
    known = [secret.reveal() for secret in settled.ground.secrets.values()] + list(secrets.values())
    for name, row in attempts.items():
        assert not told(row.error, known), (name, row.error)
    return attempts


def told(error: BaseException | None, known: list[str]) -> list[str]:
    """List what of the secrets an error tells, in itself or in what it came from; a URL's key is one by itself."""
    keys = {key for value in known for key in (value, *keys_in_url(value))}
    texts = "\n".join(_texts(error))
    return sorted(key for key in keys if key in texts)


def _texts(error: BaseException | None) -> list[str]:
    texts: list[str] = []
    while error is not None:
        texts += [str(error), repr(error), repr(error.args)]
        if isinstance(error, SlipwayError):
            texts += [error.what, error.means, error.next_step]
        error = error.__cause__ or error.__context__
    return texts


def _try(act: Act, platform: Platform, limit_s: float, clock: Clock) -> Attempt:
    start_s = clock.monotonic()
    error: BaseException | None = None
    try:
        act(platform, Deadline.after(clock, limit_s))
    except Exception as raised:  # noqa: BLE001  # whatever it is, the test judges it
        error = raised
    return Attempt(error, clock.monotonic() - start_s)
