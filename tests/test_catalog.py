import ast
import tomllib
from math import gcd
from pathlib import Path

import pytest

import sora_mcp
from sora_mcp.catalog import Model, load_catalog

PACKAGE = Path(sora_mcp.__file__).parent
MODELS = list(load_catalog().models.values())


def test_the_catalogue_says_what_the_contract_promises():
    catalog = load_catalog()
    assert catalog.default_model == "sora-2-official"
    assert catalog.durations == (4, 8, 12)
    assert catalog.aspect_ratios == ("16:9", "9:16")
    assert (catalog.default_duration, catalog.default_aspect_ratio) == (4, "9:16")
    assert catalog.models["sora-2-official"] == Model(
        id="sora-2-official", title="Sora 2 (official)", durations=(4, 8, 12), max_images=1, exact_image_size=True
    )
    assert (catalog.models["sora-2-vvip"].max_images, catalog.models["sora-2-vvip"].exact_image_size) == (3, False)


def test_the_file_is_read_once():
    assert load_catalog() is load_catalog()


def test_exactly_one_model_is_the_default():
    raw = tomllib.loads((PACKAGE / "catalog" / "models.toml").read_text(encoding="utf-8"))
    assert [entry["id"] for entry in raw["model"] if entry.get("default")] == [load_catalog().default_model]
    assert len({entry["id"] for entry in raw["model"]}) == len(raw["model"])


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_each_model_makes_the_default_video(model):
    assert load_catalog().default_duration in model.durations
    assert list(model.durations) == sorted(set(model.durations))
    assert model.max_images >= 1


@pytest.mark.parametrize("ratio", load_catalog().aspect_ratios)
def test_each_size_has_its_aspect_ratio(ratio):
    width, height = load_catalog().sizes[ratio]
    assert f"{width // gcd(width, height)}:{height // gcd(width, height)}" == ratio
    assert load_catalog().size(ratio) == f"{width}x{height}"


def test_no_code_names_a_model():
    named = {
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        if "simulator" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if any(model.id in node.value for model in MODELS)
    }
    assert not named
