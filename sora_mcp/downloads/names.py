"""What a saved video is called: the day, the first words of the prompt, and a short id of the task.

The id is a hash of the task's own: task ids differ in upper and lower case, file names on Windows and macOS do
not. It also lets a later process find the file again, whatever became of the words before it.
"""

import re
import time
import unicodedata

MAX_NAME_BYTES = 120
"""UTF-8 bytes of a whole file name; file systems take 255, encrypted ones 143."""

LAST_SECOND = 32_503_680_000
"""The year 3000 in Unix seconds: later ones have no date on every platform."""

_MAX_WORDS_CHARACTERS = 48
_MAX_WORDS_BYTES = MAX_NAME_BYTES - len("2026-11-23  0123abcd (999).mp4")
_FORBIDDEN = frozenset('<>:"/\\|?*')  # by Windows and, in part, by everybody else


def file_stem(task_id: str, *, prompt: str | None, created_at: float | None, now: float) -> str:
    """The file's name without ``.mp4``: at most 120 bytes with room for `` (999).mp4``, safe on every platform.

    The date comes first and the id last, so no prompt can make the name hidden, reserved (``CON``), empty, or
    end in a dot.

    Args:
        task_id: The task's id.
        prompt: What was ordered, in any script; ``None`` leaves the words out.
        created_at: Unix seconds of the order; ``None`` or absurd figures fall back to ``now``.
        now: Unix seconds.
    """
    moment = created_at if created_at is not None and 0 < created_at < LAST_SECOND else now
    day = time.strftime("%Y-%m-%d", time.localtime(moment))
    return " ".join(part for part in (day, _first_words(prompt or ""), short_id(task_id)) if part)


def short_id(task_id: str) -> str:
    """Eight hexadecimal digits that stand for the task."""
    return _digest(task_id)[:8]


def hidden_stem(task_id: str) -> str:
    """The name, without ending, of the files that exist only while the video is on its way."""
    return f".sora-{_digest(task_id)[:32]}"


def published_name(task_id: str) -> re.Pattern[str]:
    """Matches every name that the task's video may have been saved under."""
    return re.compile(rf"\d{{4}}-\d\d-\d\d (?:.* )?{short_id(task_id)}(?: \((\d+)\))?\.mp4", re.DOTALL)


def _digest(task_id: str) -> str:
    from hashlib import sha256  # noqa: PLC0415 - not needed at start-up

    return sha256(task_id.encode("utf-8", "surrogatepass")).hexdigest()


def _first_words(prompt: str) -> str:
    # A few times what can be used: what follows is not looked at, however long the prompt.
    kept = "".join(_printable(character) for character in prompt[: _MAX_WORDS_CHARACTERS * 16])
    text = " ".join(unicodedata.normalize("NFC", kept).split())
    end, size = 0, 0
    for character in text[:_MAX_WORDS_CHARACTERS]:
        size += len(character.encode())
        if size > _MAX_WORDS_BYTES:
            break
        end += 1
    words = text[:end]
    if end < len(text) and text[end] != " ":
        words = _without_half_a_word(words, unicodedata.category(text[end]).startswith("M"))
    return words.strip(" .,;:!-_'")


def _printable(character: str) -> str:
    """The character, a space in the place of one that separates, or nothing in the place of one that only acts."""
    if character in _FORBIDDEN or character.isspace():
        return " "
    # Cc controls, Cf the bidirectional and tag characters, Cs lone surrogates, Co and Cn nothing that can be read.
    return "" if unicodedata.category(character).startswith("C") else character


def _without_half_a_word(words: str, cut_before_a_mark: bool) -> str:  # noqa: FBT001 - says itself what it is
    head, _, _ = words.rpartition(" ")
    if len(head) * 2 >= len(words):
        return head
    # One long word, or a script without spaces: cut anywhere, but not between a letter and its accents.
    while cut_before_a_mark and words:
        cut_before_a_mark = unicodedata.category(words[-1]).startswith("M")
        words = words[:-1]
    return words
