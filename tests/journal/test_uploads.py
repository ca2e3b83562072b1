import pytest

from sora_mcp.journal import Upload

pytestmark = pytest.mark.anyio

HASH = "ab" * 32


@pytest.fixture
def upload(clock):
    def make(number=1, **changed):
        values = {
            "id": f"upload_{number}",
            "url": f"https://files.example.com/{number}.png",
            "mime_type": "image/png",
            "size": 1_000,
            "width": 1280,
            "height": 720,
            "created_at": clock.now,
            "changes": ("Cropped.", "Turned upright."),
        }
        return Upload(**(values | changed))

    return make


async def test_an_upload_is_found_for_an_hour(journal, upload, clock):
    await journal.remember_upload(HASH, "16:9 crop", upload())
    assert await journal.find_upload(HASH, "16:9 crop") == upload()
    clock.now += 3_599
    assert await journal.find_upload(HASH, "16:9 crop") == upload(created_at=clock.now - 3_599)
    clock.now += 1
    assert await journal.find_upload(HASH, "16:9 crop") is None


async def test_other_content_and_other_settings_are_other_uploads(journal, upload):
    await journal.remember_upload(HASH, "16:9 crop", upload())
    assert await journal.find_upload(HASH, "16:9 pad") is None
    assert await journal.find_upload("cd" * 32, "16:9 crop") is None


async def test_an_upload_from_the_future_is_not_used(journal, upload, clock):
    await journal.remember_upload(HASH, "16:9 crop", upload())
    clock.now -= 60
    assert await journal.find_upload(HASH, "16:9 crop") is None


async def test_a_newer_upload_replaces_the_older(journal, upload):
    await journal.remember_upload(HASH, "16:9 crop", upload(mime_type=None, size=None))
    await journal.remember_upload(HASH, "16:9 crop", upload(2, changes=()))
    assert await journal.find_upload(HASH, "16:9 crop") == upload(2, changes=())


async def test_the_size_of_an_uploaded_image_is_known_for_30_days(journal, upload, clock):
    await journal.remember_upload(HASH, "9:16 pad", upload(1, width=720, height=1280))
    assert await journal.upload_size("https://files.example.com/1.png") == (720, 1280)
    assert await journal.upload_size("https://files.example.com/2.png") is None
    clock.now += 30 * 86_400
    await journal.remember_upload(HASH, "16:9 pad", upload(2))
    assert await journal.upload_size("https://files.example.com/1.png") is None


async def test_kept_ids_are_learned_per_model(journal):
    assert not await journal.ids_kept("sora-2-official")
    for _ in range(2):
        await journal.learn_ids_kept("sora-2-official")
    assert await journal.ids_kept("sora-2-official")
    assert not await journal.ids_kept("sora-2-vvip")
