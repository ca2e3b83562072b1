"""The way of a video into the folder, and what may come between."""

import anyio
import httpx
import pytest

from sora_mcp.downloads import Downloader, SavedVideo, transfer
from sora_mcp.downloads.names import hidden_stem, short_id
from sora_mcp.errors import NotAVideo, ResultExpired, UpstreamInvalid, UpstreamUnavailable

pytestmark = pytest.mark.anyio

TASK = "video_01abc"
NAME = f"2026-11-23 a golden retriever running {short_id(TASK)}"


async def test_video_is_saved_under_a_readable_name(save, folder, video, digest, entries):
    saved, already = await save()
    assert saved == SavedVideo(folder / f"{NAME}.mp4", len(video), digest(video))
    assert saved.path.read_bytes() == video
    assert not already
    assert entries() == [f"{NAME}.mp4"]
    assert saved.path.stat().st_mode & 0o777 == 0o600


async def test_request_carries_no_secret(save, server, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://user:secret@127.0.0.1:9")
    server.answers = [type(server.usual)(headers={"Set-Cookie": "session=1"}, cut_after=1000)]
    await save()
    for first, headers in server.seen:
        assert first == "GET /__files/video.mp4?signature=secret HTTP/1.1"
        assert not {"authorization", "cookie", "proxy-authorization", "referer"} & set(headers)
        assert headers["user-agent"] == "sora-mcp/1.0 (test)"
        assert headers["accept-encoding"] == "identity"
    assert len(server.seen) == 2


OFFSETS = [0, 1, 7, 8, 9, 23, 24, 25, 131, 132, 139, 140, 148, 149, 4096, 65_535, 65_536, 131_072, 199_998, 199_999]


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("length", ["true", "none", "chunked"])
async def test_cut_at_any_offset_is_resumed(offset, length, save, server, video, digest, answer, slept):
    server.answers = [answer(cut_after=offset, length=length)]
    if length == "none" and offset < 8:
        # Without a length, an end is no sign of a break: this is a short file that is no video.
        with pytest.raises(NotAVideo):
            await save()
        return
    saved, _ = await save()
    assert saved.sha256 == digest(video)
    assert saved.path.read_bytes() == video
    assert server.ranges == [None, f"bytes={offset}-" if offset >= 8 else None]
    assert slept.seconds == [1]


async def test_resumes_go_on_from_each_other(save, server, video, answer, slept):
    server.answers = [answer(cut_after=count) for count in (50_000, 30_000, 20_000, 40_000)]
    saved, _ = await save()
    assert saved.path.read_bytes() == video
    assert server.ranges == [None, "bytes=50000-", "bytes=80000-", "bytes=100000-", "bytes=140000-"]
    assert slept.seconds == [1, 2, 4, 8]
    assert server.seen[1][1]["if-range"] == '"v1"'


async def test_after_five_breaks_the_next_call_goes_on(save, server, video, answer, entries):
    server.answers = [answer(cut_after=10_000) for _ in range(5)]
    with pytest.raises(UpstreamUnavailable, match=r"50,000 bytes that came are kept.*goes on where it stopped"):
        await save()
    assert entries() == [f"{hidden_stem(TASK)}.json", f"{hidden_stem(TASK)}.part"]
    saved, already = await save()
    assert (saved.path.read_bytes(), already) == (video, False)
    assert server.ranges[-1] == "bytes=50000-"
    assert entries() == [saved.path.name]


async def test_cancelled_call_keeps_what_came(save, server, video, answer, silence):
    server.answers = [answer(block=100_000, pause=30)]
    async with anyio.create_task_group() as group:
        group.start_soon(save)
        await silence()
        group.cancel_scope.cancel()
    saved, _ = await save()
    assert saved.path.read_bytes() == video
    assert server.ranges == [None, "bytes=100000-"]


@pytest.mark.parametrize(
    "changed",
    [
        {"etag": '"v2"'},  # the server looks at If-Range and answers 200
        {"etag": '"v2"', "content_range": "bytes 50000-199999/200000"},  # it does not
        {"content_range": "bytes 50000-299999/300000"},
        {"content_range": "bytes 40000-199999/200000"},
        {"content_range": "bytes 50000-199999/*", "etag": None},
        {"content_range": "pages 5-9/12"},
        {"ranges": False},
        {"status": 416},
    ],
)
async def test_another_file_is_never_glued_to_the_first(changed, save, server, make_mp4, answer):
    other = make_mp4(seed=2)
    server.answers = [
        answer(cut_after=50_000),
        answer(body=other[50_000:] if "content_range" in changed else other, **changed),
    ]
    server.usual.body, server.usual.etag = other, '"v2"'
    saved, _ = await save()
    assert saved.path.read_bytes() == other


async def test_without_anything_to_compare_a_break_starts_over(save, server, video, answer):
    server.answers = [answer(cut_after=50_000, length="chunked", etag=None)]
    saved, _ = await save()
    assert saved.path.read_bytes() == video
    assert server.ranges == [None, None]


async def test_a_weak_etag_is_compared_but_not_sent(save, server, video, answer):
    server.answers = [answer(cut_after=50_000, etag='W/"v1"'), answer(etag='W/"v1"')]
    saved, _ = await save()
    assert saved.path.read_bytes() == video
    assert server.ranges == [None, "bytes=50000-"]
    assert "if-range" not in server.seen[1][1]


async def test_a_date_serves_where_there_is_no_etag(save, server, video, answer):
    date = {"Last-Modified": "Mon, 23 Nov 2026 12:00:00 GMT"}
    server.answers = [
        answer(cut_after=50_000, etag=None, headers=date),
        answer(etag=None, headers=date, content_range="bytes 50000-199999/200000", body=video[50_000:]),
    ]
    saved, _ = await save()
    assert saved.path.read_bytes() == video
    assert server.seen[1][1]["if-range"] == date["Last-Modified"]


async def test_a_length_learned_while_resuming_is_kept(save, server, video, answer):
    server.answers = [answer(cut_after=50_000, length="none"), answer(cut_after=10_000)]
    saved, _ = await save()
    assert saved.path.read_bytes() == video
    assert server.ranges == [None, "bytes=50000-", "bytes=60000-"]


async def test_less_than_was_asked_for_is_asked_for_again(save, server, video, answer):
    server.answers = [
        answer(cut_after=50_000),
        answer(content_range="bytes 50000-99999/200000", body=video[50_000:100_000]),
    ]
    saved, _ = await save()
    assert saved.path.read_bytes() == video
    assert server.ranges == [None, "bytes=50000-", "bytes=100000-"]


async def test_206_without_a_question_is_taken_when_it_is_the_whole(save, server, video, answer):
    server.answers = [answer(content_range="bytes 0-199999/200000")]
    saved, _ = await save()
    assert saved.path.read_bytes() == video


async def test_a_length_that_promises_too_much_is_no_video_until_it_is_true(save, server, entries, answer, video):
    server.usual.length = 200_500
    server.usual.cut_after = 200_000
    with pytest.raises(UpstreamUnavailable):
        await save()
    assert not [name for name in entries() if name.endswith(".mp4")]
    server.usual = answer()
    saved, _ = await save()
    assert saved.path.read_bytes() == video


async def test_a_length_that_promises_too_little_is_a_cut_video(save, server, entries):
    server.usual.length = 150_000
    with pytest.raises(NotAVideo, match="ends in the middle"):
        await save()
    assert entries() == []


@pytest.mark.parametrize("length", ["none", "chunked", "true"])
async def test_a_video_that_is_only_half_there_is_never_published(length, save, server, video, entries):
    server.usual.body, server.usual.length = video[:150_000], length
    with pytest.raises((NotAVideo, UpstreamUnavailable)):
        await save()
    assert not [name for name in entries() if name.endswith(".mp4")]


async def test_odd_bytes_behind_the_video_do_not_lose_it(save, server, video):
    server.usual.body = video + bytes(100)
    saved, _ = await save()
    assert saved.size == 200_100


@pytest.mark.parametrize("body", [b"<!doctype html><title>502</title>", b"", b"{}", b"\0\0\0\x18ftyq" + bytes(99)])
@pytest.mark.parametrize("length", ["true", "none", "chunked"])
async def test_anything_but_a_video_leaves_nothing_behind(body, length, save, server, entries):
    server.usual.body, server.usual.length = body, length
    with pytest.raises(NotAVideo) as caught:
        await save()
    assert entries() == []
    assert "order" not in str(caught.value)
    assert len(server.seen) == 1


async def test_more_than_a_gibibyte_is_refused_before_it_comes(save, server, entries):
    server.usual.length = (1 << 30) + 1
    with pytest.raises(NotAVideo, match="1 GiB"):
        await save()
    assert entries() == []


async def test_bytes_are_counted_while_they_come(save, server, entries, monkeypatch):
    monkeypatch.setattr(transfer, "MAX_VIDEO_BYTES", 150_000)
    server.usual.length = "chunked"
    with pytest.raises(NotAVideo, match="1 GiB"):
        await save()
    assert entries() == []


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_refused_link_is_asked_for_once_more(status, save, server, video, answer, links, slept):
    server.answers = [answer(status=status)]
    link = links(server.link, f"{server.origin}/fresh.mp4")
    saved, _ = await save(link=link)
    assert saved.path.read_bytes() == video
    assert link.asked == 2
    assert server.seen[1][0] == "GET /fresh.mp4 HTTP/1.1"
    assert slept.seconds == []


async def test_link_that_dies_half_way_is_replaced_and_the_transfer_goes_on(save, server, video, answer, links):
    server.answers = [answer(cut_after=50_000), answer(status=403)]
    link = links(server.link, f"{server.origin}/fresh.mp4")
    saved, _ = await save(link=link)
    assert saved.path.read_bytes() == video
    assert server.ranges == [None, "bytes=50000-", "bytes=50000-"]


@pytest.mark.parametrize(
    ("expires_at", "words"),
    [
        (None, "24 hours after"),
        (1_000_000_000, "expired on 2001-09-09 01:46 UTC"),
        (4_102_444_800, "said to last until 2100-01-01 00:00 UTC"),
        (10**18, "24 hours after"),
        (-(10**18), "24 hours after"),
    ],
)
async def test_twice_refused_is_expired_in_words(expires_at, words, save, server, links, entries):
    server.usual.status = 404
    link = links(server.link)
    with pytest.raises(ResultExpired, match=words) as caught:
        await save(link=link, expires_at=expires_at)
    assert link.asked == 2
    assert len(server.seen) == 2
    assert entries() == []
    assert server.link not in str(caught.value)
    assert "order" not in str(caught.value)


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
async def test_a_host_that_is_down_is_asked_again(status, save, server, video, answer, slept):
    server.answers = [answer(status=status, body=b"<html>down</html>")]
    saved, _ = await save()
    assert saved.path.read_bytes() == video
    assert slept.seconds == [1]


@pytest.mark.parametrize("status", [204, 304, 400, 402, 416, 302])
async def test_an_answer_that_makes_no_sense_is_reported_at_once(status, save, server, entries):
    server.usual.status = status
    server.usual.body = b""
    with pytest.raises(UpstreamInvalid, match=str(status)):
        await save()
    assert len(server.seen) == 1
    assert entries() == []


async def test_a_host_that_refuses_connections_is_unavailable(save, server, slept, entries):
    server.shutdown()
    server.server_close()
    with pytest.raises(UpstreamUnavailable, match="nothing came"):
        await save()
    assert slept.seconds == [1, 2, 4, 8]
    assert entries() == []


async def test_an_encoding_that_was_not_asked_for_is_refused(save, server, entries):
    server.usual.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(UpstreamInvalid, match="encoding"):
        await save()
    assert entries() == []


async def test_errors_of_the_question_for_a_link_pass_through(save, entries):
    async def link():
        raise TimeoutError("no answer")

    with pytest.raises(TimeoutError):
        await save(link=link)
    assert entries() == []


async def test_progress_is_told_a_few_times_and_at_the_end(save, server, answer):
    told = []

    async def on_progress(received, total):
        told.append((anyio.current_time(), received, total))

    server.usual = answer(block=2_000, pause=0.01)
    await save(on_progress=on_progress)
    assert told[0][1:] == (0, 200_000)
    assert told[-1][1:] == (200_000, 200_000)
    assert [received for _, received, _ in told] == sorted(received for _, received, _ in told)
    assert 4 <= len(told) <= 4 * (told[-1][0] - told[0][0]) + 3


async def test_progress_without_a_length_has_no_total_until_the_end(save, server):
    told = []

    async def on_progress(received, total):
        told.append((received, total))

    server.usual.length = "chunked"
    await save(on_progress=on_progress)
    assert told[0] == (0, None)
    assert told[-1] == (200_000, 200_000)


async def test_an_embedded_service_is_reached_through_its_transport(folder, links, video):
    downloader = Downloader(
        output_dir=lambda: folder,
        file_hosts=(),
        trusted_origin=lambda: "http://simulator",
        user_agent="sora-mcp/1.0 (test)",
        is_public=lambda _address: False,
        transport=httpx.MockTransport(lambda _request: httpx.Response(200, content=video)),
    )
    link = links("http://simulator/v.mp4")
    saved, _ = await downloader.save(TASK, prompt=None, created_at=None, link=link)
    await downloader.aclose()
    await downloader.aclose()
    assert saved.path.read_bytes() == video


async def test_large_videos_are_checkpointed_on_the_way(save, server, make_mp4, digest, folder, answer):
    server.body = make_mp4(9 << 20)
    synced, told = [], []

    async def on_progress(_received, _total):
        told.append(anyio.current_time())
        if (note := folder / f"{hidden_stem(TASK)}.json").exists():
            synced.append(note.stat().st_ino)

    server.usual = answer(block=1 << 20, pause=0.06)
    saved, _ = await save(on_progress=on_progress)
    assert saved.sha256 == digest(server.body)
    assert saved.size == 9 << 20
    assert synced
    assert len(told) <= 4 * (told[-1] - told[0]) + 3
