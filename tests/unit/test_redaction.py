"""Secrets do not print, and no output filter lets one through."""

import copy
import json
import logging
import pickle
import string
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scripts.redaction import SHORTEST, SHOWN, Redactor, Secret, keys_in_url, redact_values

VALUE = "rnd_5Zq8wKx1"
KEY = "aB3-_xYz9Q"
HOOK = f"https://api.render.com/deploy/srv-abc123?key={KEY}"

# Brackets are the redactor's own mark; what a value that urlsplit refuses does has a test of its own.
PLAIN = st.text(st.characters(exclude_characters="[]/", exclude_categories=["Cs"]), min_size=SHORTEST, max_size=12)
SECRET_VALUES = PLAIN.filter(lambda value: value not in SHOWN)
URL_SAFE = st.text(string.ascii_letters + string.digits + "-_", min_size=SHORTEST, max_size=12)


@dataclass(frozen=True)
class Holder:
    """A value that holds a secret."""

    token: Secret


@pytest.mark.parametrize(
    "text",
    [
        repr(Secret(VALUE)),
        str(Secret(VALUE)),
        format(Secret(VALUE)),
        format(Secret(VALUE), ">40"),
        f"{Secret(VALUE)} {Secret(VALUE)!r} {Secret(VALUE)!s:>30}",
        "%s %r" % (Secret(VALUE), Secret(VALUE)),  # noqa: UP031 - what old logging code does
        str([Secret(VALUE)]),
        str({"token": Secret(VALUE)}),
        str(Holder(Secret(VALUE))),
        str(ValueError(Secret(VALUE))),
        json.dumps({"token": Secret(VALUE)}, default=str),
        json.dumps({"token": Secret(VALUE)}, default=repr),
    ],
)
def test_secret_never_prints(text: str) -> None:
    """Whatever turns a secret into text gives the mark instead of the value."""
    assert VALUE not in text
    assert SHOWN in text


def test_secret_is_not_json() -> None:
    """A secret does not go into JSON by accident."""
    with pytest.raises(TypeError, match="Secret") as caught:
        json.dumps({"token": Secret(VALUE)})
    assert VALUE not in str(caught.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_secret_is_never_pickled(protocol: int) -> None:
    """A secret cannot be pickled, on its own or inside another value."""
    for value in (Secret(VALUE), Holder(Secret(VALUE)), [Secret(VALUE)]):
        with pytest.raises(TypeError, match="never pickled") as caught:
            pickle.dumps(value, protocol)
        assert VALUE not in str(caught.value)


def test_secret_is_never_copied() -> None:
    """A secret cannot be copied, since a copy would be made by the way that a pickle is."""
    for make in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="never pickled"):
            make(Secret(VALUE))


def test_secret_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A log line that is given a secret shows the mark."""
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").warning("token %s and %r", Secret(VALUE), Secret(VALUE))
    assert VALUE not in caplog.text
    assert SHOWN in caplog.text


def test_secret_has_no_open_drawer() -> None:
    """A secret has no dictionary that a debugger's or a serializer's dump would print."""
    with pytest.raises(TypeError):
        vars(Secret(VALUE))


def test_secret_gives_its_value_to_who_asks_by_name() -> None:
    """`reveal` is the one way to the value."""
    assert Secret(VALUE).reveal() == VALUE


@pytest.mark.parametrize(
    ("secret", "text", "expected"),
    [
        (VALUE, f"key {VALUE}, again {VALUE}", f"key {SHOWN}, again {SHOWN}"),
        ("a b/c&d", "x=a%20b%2Fc%26d", f"x={SHOWN}"),
        ("a b/c&d", "a b/c&d", SHOWN),
        (HOOK, f"POST {HOOK}&ref=1", f"POST {SHOWN}&ref=1"),
        (HOOK, f"key={KEY}", f"key={SHOWN}"),
        (HOOK, quote(HOOK, safe=""), SHOWN),
        ("https://x.example/deploy/srv-a?key=a%20b%2Bc", "a b+c and a%20b%2Bc", f"{SHOWN} and {SHOWN}"),
        ("1234", "1234", SHOWN),
        ("123", "123", "123"),
        ("", "nothing to hide", "nothing to hide"),
    ],
    ids=["raw", "quoted", "awkward raw", "hook", "key", "quoted hook", "quoted key", "shortest", "too short", "empty"],
)
def test_redactor_replaces_every_form(secret: str, text: str, expected: str) -> None:
    """A secret of four characters or more is replaced as it is, as it stands in a URL, and so is a hook's key."""
    assert Redactor([Secret(secret)])(text) == expected


def test_redactor_takes_the_longest_first() -> None:
    """A secret that contains another one leaves no rest behind."""
    assert Redactor([Secret("abcd"), Secret("abcdefgh")])("abcdefgh abcd") == f"{SHOWN} {SHOWN}"


def test_redactor_without_secrets_changes_nothing() -> None:
    """Without secrets a text stays as it is."""
    assert Redactor()("key=abcd") == "key=abcd"


@given(st.data())
def test_no_secret_survives(data: st.DataObject) -> None:
    """No secret of four characters or more is in what the redactor gives, raw or quoted, whatever stands around it."""
    secrets = data.draw(st.lists(SECRET_VALUES, min_size=1, max_size=4))
    forms = [form for secret in secrets for form in (secret, quote(secret, safe=""))]
    text = "".join(data.draw(st.lists(st.sampled_from(forms) | st.text(max_size=6), max_size=12)))
    told = Redactor(Secret(secret) for secret in secrets)(text)
    for form in forms:
        assert form not in told


@given(URL_SAFE, st.text(max_size=20), st.text(max_size=20))
def test_no_hook_key_survives(key: str, before: str, after: str) -> None:
    """The key of a deploy hook is gone even where the rest of its URL is not there."""
    assume(key not in SHOWN and key not in "https://api.render.com/deploy/srv-a?key=")
    told = Redactor([Secret(f"https://api.render.com/deploy/srv-a?key={key}")])(f"{before}{key}{after}")
    assert key not in told


@given(st.lists(SECRET_VALUES, max_size=3), st.text(max_size=40))
def test_a_text_without_secrets_is_left_alone(secrets: list[str], text: str) -> None:
    """Only secrets are replaced."""
    assume(not any(secret in text or quote(secret, safe="") in text for secret in secrets))
    assert Redactor(Secret(secret) for secret in secrets)(text) == text


@pytest.mark.parametrize(
    ("url", "keys"),
    [
        (HOOK, [KEY]),
        ("https://x.example/?a=1&key=one&key=two", ["one", "two"]),
        ("https://x.example/?key=", []),
        ("https://x.example/key", []),
        (VALUE, []),
    ],
)
def test_keys_in_url(url: str, keys: list[str]) -> None:
    """The credentials of a URL are the values of its `key`."""
    assert keys_in_url(url) == keys


@pytest.mark.parametrize("value", ["//[abcd", "https://[api/deploy/srv-a?key=abcd", "//pa℀ss", "ab\udcffcd"])
def test_any_value_can_be_a_secret(value: str) -> None:
    """Every value that the environment can hold is redacted, also one that looks like a broken URL."""
    assert value not in Redactor([Secret(value)])(f"token {value}!")


@pytest.mark.parametrize("written", ["ab%2fcd", "ab+cd"])
def test_key_is_redacted_as_it_is_written(written: str) -> None:
    """A hook's key is redacted in the very spelling that its URL has."""
    told = Redactor([Secret(f"https://api.render.com/deploy/srv-abc?key={written}")])(f"?key={written}&ref=1")
    assert written not in told


def test_values_are_redacted_to_the_bottom() -> None:
    """Every text inside a value is redacted, and everything else is left alone, names and a secret's own type too."""
    secret = Secret(VALUE)
    value = {VALUE: [VALUE, (f"a {VALUE}", 5)], "set": {VALUE}, "none": None, "yes": True, "secret": secret}
    assert redact_values(value, Redactor([secret])) == {
        VALUE: [SHOWN, [f"a {SHOWN}", 5]],
        "set": {SHOWN},
        "none": None,
        "yes": True,
        "secret": secret,
    }
