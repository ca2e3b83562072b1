import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora_mcp.downloads.names import MAX_NAME_BYTES, file_stem, hidden_stem, published_name, short_id

NOON = 1_795_435_200  # 2026-11-23 12:00 UTC
TASK = "video_01K8ABC"


def stem(prompt, created_at=NOON):
    return file_stem(TASK, prompt=prompt, created_at=created_at, now=NOON)


def words(prompt):
    return stem(prompt).removeprefix("2026-11-23").removesuffix(short_id(TASK)).strip()


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a golden retriever running", "a golden retriever running"),
        ("  Two\n lines\tof   text ", "Two lines of text"),
        (
            "A long prompt that goes on and on about the light and the camera",
            "A long prompt that goes on and on about the",
        ),
        ("../../etc/passwd", "etc passwd"),
        ('C:\\Windows\\"x" <y>|?*', "C Windows x y"),
        ("CON", "CON"),
        ("ends in dots...", "ends in dots"),
        (".hidden", "hidden"),
        ("-rf flag", "rf flag"),
        ("red\x1b[31m bell\x07 nul\x00", "red[31m bell nul"),
        ("safe\u202egnp.exe\u2066", "safegnp.exe"),
        ("tag\U000e0041s and \u200bzero\ufeff width", "tags and zero width"),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("cafe\u0301", "caf\u00e9"),
        ("a dog \N{DOG FACE} runs", "a dog \N{DOG FACE} runs"),
        ("一只金毛犬在海滩上奔跑", "一只金毛犬在海滩上奔跑"),
        ("كلب ذهبي يجري على الشاطئ", "كلب ذهبي يجري على الشاطئ"),
        ("x" * 200, "x" * 48),
        ("跑" * 200, "跑" * 30),
        ("...", ""),
        ("\u200b\u202e", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_first_words_stay_readable_and_safe(prompt, expected):
    assert words(prompt) == expected


def test_name_is_day_words_and_short_id():
    assert stem("a golden retriever running") == f"2026-11-23 a golden retriever running {short_id(TASK)}"
    assert stem(None) == f"2026-11-23 {short_id(TASK)}"
    assert len(short_id(TASK)) == 8


def test_a_cut_never_separates_a_letter_from_its_accents():
    # Devanagari has letters that are only complete with the signs that follow them.
    syllable = "\u0915\u093f\u0902"
    cut = words(syllable * 40)
    assert cut
    assert cut == syllable * (len(cut) // 3)


def test_a_prompt_of_nothing_but_accents_still_has_a_name():
    assert words("\u0301" * 500) == ""


@pytest.mark.parametrize("created_at", [None, -1, 0, 10**18])
def test_an_absurd_date_is_taken_from_the_clock(created_at):
    assert stem("x", created_at).startswith("2026-11-23 ")


def test_ids_that_differ_only_in_case_have_different_files():
    assert short_id("video_a") != short_id("VIDEO_A")
    assert hidden_stem("video_a") != hidden_stem("VIDEO_A")


def test_own_names_are_recognised_and_no_others():
    pattern = published_name(TASK)
    name = stem("a dog")
    assert pattern.fullmatch(f"{name}.mp4")
    assert pattern.fullmatch(f"{name} (12).mp4")[1] == "12"
    assert pattern.fullmatch(f"2025-01-01 {short_id(TASK)}.mp4")
    assert not pattern.fullmatch(f"{name}.mp4.part")
    assert not pattern.fullmatch(f"2026-11-23 a dog {short_id('video_other')}.mp4")


@given(st.text(max_size=300), st.integers() | st.none())
def test_every_prompt_gives_a_name_that_every_platform_takes(prompt, created_at):
    name = f"{file_stem(TASK, prompt=prompt, created_at=created_at, now=NOON)} (999).mp4"
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert name == unicodedata.normalize("NFC", name)
    assert not set(name) & set('<>:"/\\|?*')
    assert all(unicodedata.category(character)[0] != "C" for character in name)
    assert name[:4].isdigit()
    assert "  " not in name
    assert published_name(TASK).fullmatch(name)
