import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sora_mcp.api.words import is_failure, read_failure, read_words

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["error", "message", "code", "type", "detail", "data", "x"]), inner)
    ),
    max_leaves=20,
)


def nested(message, levels):
    for _ in range(levels):
        message = json.dumps({"error": {"message": message}})
    return message


@pytest.mark.parametrize(
    ("payload", "codes", "text"),
    [
        (
            {"error": {"code": 404, "message": "no such task", "type": "not_found_error"}},
            ("404", "not_found_error"),
            "no such task",
        ),
        (
            {"error": {"code": "rate_limit_exceeded", "message": "slow down"}},
            ("rate_limit_exceeded",),
            "slow down",
        ),
        (
            {"error": {"code": "Model_Not_Found", "message": "gone", "type": "new_api_error"}},
            ("model_not_found", "new_api_error"),
            "gone",
        ),
        ({"error": {"message": "Invalid token (request id: 1)"}}, (), "Invalid token (request id: 1)"),
        ({"success": False, "message": "Unsupported image type."}, (), "Unsupported image type."),
        ({"message": "task_not_exist"}, (), "task_not_exist"),
        ({"code": "task_not_exist", "message": "x", "data": None}, ("task_not_exist",), "x"),
        ({"error": "Not Found", "status": 404}, (), "Not Found"),
        ({"detail": [{"loc": ["body"], "msg": "field required", "type": "missing"}]}, ("missing",), "field required"),
        ({"code": 200, "message": "", "data": []}, (), ""),
        ("plain words", (), "plain words"),
        ('"quoted"', (), "quoted"),
        (None, (), ""),
        ([], (), ""),
        (7, (), ""),
        ({"error": {"code": True, "message": 5}}, (), ""),
    ],
)
def test_codes_and_words_of_every_shape(payload, codes, text):
    words = read_words(payload)
    assert (words.codes, words.text) == (codes, text)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_message_that_is_json_is_opened_three_deep(levels):
    assert read_words({"error": {"code": "upstream", "message": nested("the real reason", levels)}}).text == (
        "the real reason"
    )


def test_a_message_encoded_twice_is_opened():
    assert read_words({"message": json.dumps(nested("the real reason", 1))}).text == "the real reason"


def test_json_without_words_is_quoted_as_it_is():
    assert read_words({"message": '{"foo": 1}'}).text == '{"foo": 1}'
    assert read_words({"message": "{broken"}).text == "{broken"


def test_links_in_words_are_taken_out():
    assert read_words({"message": "cannot load https://files.test/u.png?sig=secret"}).text == "cannot load [link]"


def test_an_endless_message_is_cut():
    assert len(read_words({"message": "x" * 1_000_000}).text) == 4000


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ({"error": {"code": "generation_failed", "message": "bad"}}, ("generation_failed", "bad")),
        ({"type": "video", "error": "bad"}, ("unknown", "bad")),
        ({"error": None, "fail_reason": "bad"}, ("unknown", "bad")),
        ({"error": {"code": 500, "message": nested("bad", 3)}}, ("500", "bad")),
        (
            {"error": {"code": 400, "message": '{"error":{"code":"moderation_blocked","message":"no"}}'}},
            ("moderation_blocked", "no"),
        ),
        ({"error": [{"code": "a", "message": "b"}]}, ("a", "b")),
        ({}, ("unknown", "The service gave no reason.")),
    ],
)
def test_why_a_task_failed(task, expected):
    assert read_failure(task, "unknown") == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"success": False}, True),
        ({"error": {"message": "x"}}, True),
        ({"error": "x"}, True),
        ({"success": True, "error": None}, False),
        ({"error": {}}, False),
        ({"error": ""}, False),
        ([], False),
        (None, False),
    ],
)
def test_what_calls_itself_a_failure(payload, expected):
    assert is_failure(payload) is expected


@settings(deadline=None)
@given(any_json)
def test_any_json_gives_words(payload):
    words = read_words(payload)
    assert all(isinstance(code, str) for code in words.codes)
    assert isinstance(words.text, str)
    is_failure(payload)


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_gives_words(text):
    assert isinstance(read_words({"message": text}).text, str)


def test_deep_nesting_ends():
    payload = {"message": "end"}
    for _ in range(900):
        payload = {"error": payload}
    assert read_words(payload).text == ""
