import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sora_mcp.catalog import load_catalog
from sora_mcp.models import (
    MAX_IMAGE_URLS,
    MAX_PROMPT_CHARACTERS,
    AspectRatio,
    Balance,
    Duration,
    GenerateRequest,
    ImageUrls,
    OrderedTask,
    Prompt,
    RemixRequest,
    Take,
    Task,
    TaskId,
    TaskReport,
    Uploaded,
    WaitSeconds,
)

ORDER_ID = "smcp-" + "0" * 32
LINK = "https://files.example/secret.png"


def request(**changes):
    return GenerateRequest(**{"model": "sora-2-official", "prompt": "a dog", "client_business_id": ORDER_ID} | changes)


def takes(kind, value):
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


# Prompt


@pytest.mark.parametrize(
    "prompt",
    [
        "a dog",
        "x",
        "犬",
        "\U0001f415",
        "\u2764\ufe0f",
        "  leading and trailing  \n",
        "e\u0301",
        "line\nline\ttab\r\n",
        "right-to-left \u202e and joiners \u200d inside",
        "x" * MAX_PROMPT_CHARACTERS,
        "\U0001f415" * MAX_PROMPT_CHARACTERS,
    ],
    ids=lambda prompt: ascii(prompt[:20]),
)
def test_a_prompt_that_says_something_passes_unaltered(prompt):
    assert request(prompt=prompt).body()["prompt"] == prompt


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        " ",
        "\n\t \r",
        "\u00a0\u2003\u3000",
        "\u200b",
        "\u200b\u200c\u200d\u2060\ufeff",
        "\u202e\u2066",
        "\u3164",
        "\u115f\u1160\uffa0\u2800",
        "\ufe0f",
        "\u034f\u180b",
        "\U000e0041\U000e0042",
        "\U000e0100",
        "\x01\x1b\x7f",
        "\ue000",
        "a\0dog",
        "a dog\0",
        "\ud800",
        "a dog \udfff",
        "x" * (MAX_PROMPT_CHARACTERS + 1),
        None,
        7,
        True,
        b"a dog",
        ["a dog"],
    ],
    ids=lambda prompt: ascii(prompt)[:30],
)
def test_a_prompt_that_says_nothing_or_cannot_be_sent_is_refused(prompt):
    with pytest.raises(ValidationError) as error:
        request(prompt=prompt)
    assert error.value.errors(include_input=False)[0]["loc"] == ("prompt",)


@given(st.text(st.characters(codec=None, categories=None), max_size=60))
def test_a_prompt_that_passes_can_be_sent_and_comes_back_the_same(prompt):
    if takes(Prompt, prompt):
        body = json.dumps(request(prompt=prompt).body(), ensure_ascii=False).encode("utf-8")
        assert json.loads(body)["prompt"] == prompt
        assert "\0" not in prompt
        assert prompt.strip()


@given(st.text(st.characters(categories=["Z", "Cc", "Cf", "Mn", "Cn", "Co"]), max_size=40))
def test_a_prompt_of_what_nobody_sees_never_passes(prompt):
    assert not takes(Prompt, prompt)


@pytest.mark.parametrize("prompt", ["canary" + "\0", "canary" * 10_000, "canary\ud800"])
def test_a_refused_prompt_is_not_in_the_words_of_the_refusal(prompt):
    with pytest.raises(ValidationError) as error:
        request(prompt=prompt)
    assert "canary" not in str(error.value)


# What goes over the wire


def test_the_body_is_exactly_the_fields_of_the_api():
    full = request(duration=8, aspect_ratio="16:9", image_urls=[LINK])
    assert full.body() == {
        "model": "sora-2-official",
        "prompt": "a dog",
        "duration": 8,
        "aspect_ratio": "16:9",
        "image_urls": [LINK],
        "client_business_id": ORDER_ID,
    }


def test_the_shortest_order_takes_the_defaults_of_the_api_and_sends_no_null():
    assert request().body() == {
        "model": "sora-2-official",
        "prompt": "a dog",
        "duration": 4,
        "aspect_ratio": "9:16",
        "client_business_id": ORDER_ID,
    }


def test_the_body_of_a_remix_is_exactly_the_fields_of_the_api():
    remix = RemixRequest(model="sora-2-official", prompt="at night", client_business_id=ORDER_ID)
    assert remix.body() == {"model": "sora-2-official", "prompt": "at night", "client_business_id": ORDER_ID}
    with pytest.raises(ValidationError):
        RemixRequest(model="sora-2-official", prompt="at night", client_business_id=ORDER_ID, duration=4)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("duration", value) for value in ("8", True, 8.5, 5, 0, -4, 1e9, float("nan"), None)],
        *[("aspect_ratio", value) for value in ("4:3", "16:9 ", "", 16 / 9, None)],
        *[("image_urls", value) for value in (LINK, [7], [None], (LINK,), [LINK] * 11, {LINK: 1})],
        *[("model", value) for value in (None, 7, b"sora")],
        *[("client_business_id", value) for value in (None, 7)],
        ("seconds", 4),
        ("n", 1),
        ("duratoin", 4),
    ],
)
def test_a_value_of_another_kind_and_an_unknown_field_are_refused(field, value):
    with pytest.raises(ValidationError) as error:
        request(**{field: value})
    assert error.value.errors(include_input=False)[0]["loc"][0] == field


@pytest.mark.parametrize("missing", ["model", "prompt", "client_business_id"])
def test_what_an_order_cannot_do_without_is_required(missing):
    given_fields = {"model": "sora-2-official", "prompt": "a dog", "client_business_id": ORDER_ID}
    del given_fields[missing]
    with pytest.raises(ValidationError):
        GenerateRequest(**given_fields)


def test_a_request_cannot_be_altered_once_it_is_made():
    with pytest.raises(ValidationError):
        request().prompt = "a cat"


def test_no_repr_shows_a_prompt_or_a_link():
    shown = [
        repr(request(prompt="canary")),
        repr(RemixRequest(model="m", prompt="canary", client_business_id=ORDER_ID)),
        repr(TaskReport("video_01", "completed", urls=("https://canary.example/a.mp4",))),
        repr(Uploaded("upload_1", "https://canary.example/a.png", None, None)),
    ]
    assert "canary" not in "".join(shown)


# Arguments of tools


def test_the_choices_are_those_of_the_catalogue():
    catalog = load_catalog()
    assert TypeAdapter(Duration).json_schema()["enum"] == list(catalog.durations)
    assert TypeAdapter(AspectRatio).json_schema()["enum"] == list(catalog.aspect_ratios)


@pytest.mark.parametrize("task_id", ["abcd", "video_01K8-x", "smcp-" + "f" * 32, "A" * 128])
def test_an_id_of_the_service_passes(task_id):
    assert takes(TaskId, task_id)


@pytest.mark.parametrize(
    "task_id",
    [
        *["", "abc", "a" * 129, "a" * 4096, "../..", "a/bc", "a%2ebc", "ab.cd", "ab cd", "abcd\n", "\nabcd", "äbcd"],
        *["abcd\0", "abcd?x=1", "abcd#", 1234, None],
    ],
)
def test_an_id_that_could_leave_its_place_is_refused(task_id):
    assert not takes(TaskId, task_id)


@given(st.text(max_size=140))
def test_an_id_that_passes_is_plain(task_id):
    plain = all(character.isascii() and (character.isalnum() or character in "_-") for character in task_id)
    assert takes(TaskId, task_id) == (plain and 4 <= len(task_id) <= 128)


@pytest.mark.parametrize(
    ("value", "taken"), [(1, True), (2**63, True), (0, False), (-1, False), (True, False), ("1", False), (1.0, False)]
)
def test_a_take_counts_from_one(value, taken):
    assert takes(Take, value) is taken


@pytest.mark.parametrize(
    ("value", "taken"), [(0, True), (50, True), (51, False), (-1, False), (False, False), ("5", False)]
)
def test_a_wait_is_at_most_fifty_seconds(value, taken):
    assert takes(WaitSeconds, value) is taken


def test_at_most_ten_images_may_be_named():
    assert takes(ImageUrls, [LINK] * MAX_IMAGE_URLS)
    assert takes(ImageUrls, [])
    assert not takes(ImageUrls, [LINK] * (MAX_IMAGE_URLS + 1))


# What is answered


def test_an_order_answers_with_a_part_of_what_a_question_does():
    more = set(Task.model_fields) - set(OrderedTask.model_fields)
    assert more == {"completed_at", "expires_at", "result", "saved_path"}
    assert set(OrderedTask.model_fields) < set(Task.model_fields)


def test_what_nobody_knows_is_left_out():
    task = Task(id="video_01", status="queued", progress=0)
    assert task.model_dump(exclude_none=True) == {
        "id": "video_01",
        "object": "generation.task",
        "status": "queued",
        "progress": 0,
    }


def test_a_status_beyond_the_five_is_refused():
    with pytest.raises(ValidationError):
        Task(id="video_01", status="cancelled", progress=0)


def test_an_unknown_balance_is_not_zero():
    assert Balance(None, None) == Balance(remaining=None, used=None, unlimited=False)
