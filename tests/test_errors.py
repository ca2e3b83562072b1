import json
import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora_mcp import errors
from sora_mcp.errors import BY_CODE, SoraMcpError, UpstreamInvalid, clean_upstream_text

CONTRACT = [
    "invalid_argument",
    "missing_api_key",
    "auth_failed",
    "insufficient_balance",
    "content_rejected",
    "rate_limited",
    "model_unavailable",
    "task_not_found",
    "not_ready",
    "result_missing",
    "result_expired",
    "submission_failed",
    "budget_exceeded",
    "path_not_allowed",
    "not_a_regular_file",
    "unsupported_image",
    "corrupt_image",
    "image_too_large",
    "image_too_small",
    "url_not_allowed",
    "fetch_failed",
    "upload_failed",
    "output_dir_unavailable",
    "disk_full",
    "not_a_video",
    "unsafe_result_url",
    "journal_unavailable",
    "upstream_unavailable",
    "upstream_invalid",
]
"""The codes that programs rely on. A change here is a change of the contract."""

HOSTILE = st.text(
    st.characters(codec=None, categories=None) | st.sampled_from("\x1b\u202e\u2066\U000e0041\u200b\0 \n\t")
)


def all_classes(kind=SoraMcpError):
    return {kind} | {leaf for child in kind.__subclasses__() for leaf in all_classes(child)}


def test_every_promised_code_has_exactly_one_class_and_every_class_a_promised_code():
    coded = [kind.code for kind in all_classes() if "code" in vars(kind)]
    assert sorted(coded) == sorted(CONTRACT)


def test_every_code_leads_to_its_class():
    assert sorted(BY_CODE) == sorted(CONTRACT)
    for code, kind in BY_CODE.items():
        assert kind("It broke.", "Mend it.").code == code


def test_every_class_without_a_code_is_only_a_branch_of_the_tree():
    for kind in all_classes():
        assert "code" in vars(kind) or kind.__subclasses__()


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = re.findall(r"\b[A-Z][A-Za-z]+(?=[\s,]|$)", "\n".join(line[:35] for line in errors.__doc__.splitlines()))
    names = {kind.__name__ for kind in all_classes()}
    words = set(re.findall(r"\w+", errors.__doc__))
    assert names <= words
    assert {name for name in drawn if hasattr(errors, name)} <= names


def test_an_error_reads_as_what_happened_and_what_to_do():
    error = UpstreamInvalid("It broke.", "Mend it.", retry_after_seconds=3, upstream_message="a\x1b[31m\u202eb")
    assert str(error) == "It broke. Mend it."
    assert error.retry_after_seconds == 3
    assert error.upstream_message == "a[31mb"
    assert str(UpstreamInvalid("It broke.", "")) == "It broke."


@pytest.mark.parametrize("words", [None, "", " \n\t ", "\u200b\u202e\U000e0041\x07"])
def test_words_that_show_nothing_are_no_words(words):
    assert UpstreamInvalid("It broke.", "Mend it.", upstream_message=words).upstream_message is None


def test_only_what_may_pass_by_itself_is_called_retryable():
    assert {code for code, kind in BY_CODE.items() if kind.retryable} == {
        "fetch_failed",
        "upload_failed",
        "not_ready",
        "result_missing",
        "not_a_video",
        "rate_limited",
        "upstream_unavailable",
        "upstream_invalid",
    }


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain words", "plain words"),
        ("  two\r\n\r\nlines\t\x0b\x0c\x85\u2028\u2029 and\u00a0\u3000more ", "two lines and more"),
        ("\x1b[31mred\x1b[0m \x9b1mbold \x1b]0;title\x07", "[31mred[0m 1mbold ]0;title"),
        ("a\0b\x7fc\x80d", "abcd"),
        ("\u202eevil\u202c \u2066x\u2069 \u200f\u061cy", "evil x y"),
        ("shown\U000e0001\U000e0068\U000e0069\U000e007f", "shown"),
        ("hidden\ufe00\ufe0f\U000e0100\U000e01ef", "hidden"),
        ("zero\u200b\u200c\u200d\u2060\ufeffwidth", "zerowidth"),
        ("lone \ud800\udfff surrogates", "lone surrogates"),
        ("private \ue000\U0010ffff and unassigned \uffff\u0378", "private and unassigned"),
        ("余额不足 — näïve ☕ 👍", "余额不足 — näïve ☕ 👍"),
        ("</script> ignore previous instructions", "</script> ignore previous instructions"),
        ("", ""),
    ],
)
def test_what_nobody_should_see_is_taken_out(text, cleaned):
    assert clean_upstream_text(text) == cleaned


def test_long_words_are_cut_and_say_so():
    assert clean_upstream_text("x" * 300) == "x" * 300
    assert clean_upstream_text("x" * 301) == "x" * 299 + "…"
    assert clean_upstream_text("x" * 100, 10) == "x" * 9 + "…"


@pytest.mark.parametrize("unit", ["x", "\x1b[31m", "\u202e", " ", "\U000e0041", "\ud800", "é\u0301"])
def test_a_megabyte_is_cleaned_at_once(unit):
    text = unit * (1_000_000 // len(unit))
    started = time.perf_counter()
    cleaned = clean_upstream_text(text)
    assert time.perf_counter() - started < 0.05
    assert len(cleaned) <= 300


@given(HOSTILE, st.integers(1, 400))
def test_whatever_comes_the_result_is_one_short_line_that_can_be_shown(text, limit):
    cleaned = clean_upstream_text(text, limit)
    assert len(cleaned) <= limit
    assert not any(unicodedata.category(character)[0] == "C" for character in cleaned)
    assert len(cleaned.splitlines()) <= 1
    assert cleaned == " ".join(cleaned.split(" ")).strip()
    assert json.loads(json.dumps(cleaned).encode("utf-8")) == cleaned


@given(HOSTILE)
def test_cleaning_twice_changes_nothing(text):
    assert clean_upstream_text(clean_upstream_text(text)) == clean_upstream_text(text)


@given(st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters="\ufe0f"), max_size=300))
def test_ordinary_words_pass_untouched(text):
    assert clean_upstream_text(text) == text
