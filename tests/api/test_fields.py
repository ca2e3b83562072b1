import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sora_mcp.api.fields import (
    MAX_LINK_CHARACTERS,
    parse_json,
    read_id,
    read_links,
    read_number,
    read_progress,
    read_retry_after,
    read_text,
    read_time,
    without_links,
)

NOW = 1_768_380_224.0

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    "text",
    [b"", b"<html>", b'{"a":', b"\xff\xfe{}", b"[" * 100_000, b'{"a":' * 50_000, "\ud800", b"\x00", b"nul"],
    ids=["empty", "html", "truncated", "bad-utf8", "deep-list", "deep-object", "surrogate", "nul", "word"],
)
def test_what_is_not_json_reads_as_nothing(text):
    assert parse_json(text) is None


def test_a_byte_order_mark_is_no_obstacle():
    assert parse_json(b'\xef\xbb\xbf{"id": "a"}') == {"id": "a"}


def test_an_integer_too_long_for_python_does_not_hide_the_id_beside_it():
    body = b'{"id": "video_1", "progress": ' + b"9" * 5000 + b', "created_at": -' + b"9" * 5000 + b"}"
    assert parse_json(body) == {"id": "video_1", "progress": None, "created_at": None}


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_parse_or_read_as_nothing(body):
    parse_json(body)


@settings(deadline=None)
@given(any_json)
def test_any_value_is_read_or_dropped(value):
    read_number(value)
    read_progress(value)
    read_time(value)
    read_id(value)
    list(read_links([value]))
    text = read_text(value)
    assert text is None or text.encode()


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        ((None, "", "video_1"), "video_1"),
        ((12345,), "12345"),
        ((True, 1.5, ["a"], {"a": 1}), None),
        (("x" * 200,), "x" * 200),
        (("x" * 201, "short"), "short"),
        (("a\nb", "a\x00", "\ud800", "a\u202eb", "a\ufffd"), None),
        ((".", "..", "   ", ". ."), None),
        (("../../etc/passwd",), "../../etc/passwd"),
    ],
)
def test_the_first_usable_id_is_taken_and_its_form_is_opaque(candidates, expected):
    assert read_id(*candidates) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (65, 65),
        (65.9, 65),
        ("65%", 65),
        (" 65 ", 65),
        ("100%", 100),
        (-3, 0),
        (250, 100),
        (10**29, 100),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
        ("nan", None),
        ("half", None),
        ("9" * 41, None),
        (None, None),
        ([], None),
    ],
)
def test_progress_is_a_percentage_or_nothing(value, expected):
    assert read_progress(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1768380224, 1768380224),
        ("1768380224", 1768380224),
        (1768380224.9, 1768380224),
        (1768380224000, 1768380224),
        (0, None),
        (-5, None),
        (10**20, None),
        (True, None),
        ("yesterday", None),
    ],
)
def test_times_are_unix_seconds_and_absurd_ones_are_dropped(value, expected):
    assert read_time(value) == expected


@pytest.mark.parametrize(
    "link",
    [
        "ftp://files.test/v.mp4",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "//files.test/v.mp4",
        "https://",
        "https://[::1/v.mp4",
        "https://files.test/a b",
        "https://files.test/a\nb",
        "https://files.test/a\u202eb",
        "https://files.test/" + "a" * MAX_LINK_CHARACTERS,
        7,
        None,
    ],
)
def test_a_link_that_is_not_plain_http_is_no_link(link):
    assert list(read_links([link])) == []


def test_links_keep_their_signature():
    link = "https://files.toapis.test/v.mp4?sig=a%2Fb&x=1"
    assert list(read_links([f" {link} ", "HTTPS://FILES.test/v"])) == [link, "HTTPS://FILES.test/v"]


def test_links_are_taken_out_of_words():
    assert without_links("see https://files.test/v.mp4?sig=secret now") == "see [link] now"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("2.5", 2.5),
        ("3600", 3600.0),
        ("3601", None),
        ("-1", None),
        ("soon", None),
        ("nan", None),
        ("9" * 5000, None),
        ("Wed, 14 Jan 2026 08:44:24 GMT", 40.0),
        ("Wed, 14 Jan 2026 08:43:00 GMT", None),
        ("Wed, 14 Jan 2099 08:43:00 GMT", None),
        ("Wed, 99 Jan 2026 08:43:00 GMT", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_the_hour(header, expected):
    assert read_retry_after(header, NOW) == expected


@settings(deadline=None)
@given(st.text(max_size=120))
def test_any_retry_after_is_read_or_dropped(header):
    wait = read_retry_after(header, NOW)
    assert wait is None or 0 <= wait <= 3600


def test_numbers_that_json_does_not_have_are_dropped():
    payload = parse_json(json.dumps({"a": float("nan"), "b": float("-inf")}))
    assert [read_number(payload["a"]), read_number(payload["b"]), read_text("x" * 150)] == [None, None, "x" * 99 + "…"]
