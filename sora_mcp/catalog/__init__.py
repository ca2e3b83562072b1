"""The models as data: what each one takes, read from ``models.toml``."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Model:
    """One model: its id, the lengths in seconds it makes, and its rule for reference images."""

    id: str
    title: str
    durations: tuple[int, ...]
    max_images: int
    exact_image_size: bool


@dataclass(frozen=True, slots=True)
class Catalog:
    """All models; ``sizes`` maps an aspect ratio to (width, height) in pixels."""

    models: dict[str, Model]
    default_model: str
    sizes: dict[str, tuple[int, int]]
    default_duration: int
    default_aspect_ratio: str

    @property
    def durations(self) -> tuple[int, ...]:
        """Every length in seconds that some model makes, ascending."""
        return tuple(sorted({seconds for model in self.models.values() for seconds in model.durations}))

    @property
    def aspect_ratios(self) -> tuple[str, ...]:
        """Every aspect ratio, widest first as the file lists them."""
        return tuple(self.sizes)

    def size(self, aspect_ratio: str) -> str:
        """The size as the API writes it, for example ``1280x720``."""
        width, height = self.sizes[aspect_ratio]
        return f"{width}x{height}"


@cache
def load_catalog() -> Catalog:
    """Read ``models.toml`` once."""
    raw = tomllib.loads(Path(__file__).with_name("models.toml").read_text(encoding="utf-8"))
    models = {
        entry["id"]: Model(
            id=entry["id"],
            title=entry["title"],
            durations=tuple(entry["durations"]),
            max_images=entry["max_images"],
            exact_image_size=entry["exact_image_size"],
        )
        for entry in raw["model"]
    }
    return Catalog(
        models=models,
        default_model=next(entry["id"] for entry in raw["model"] if entry.get("default")),
        sizes={ratio: (width, height) for ratio, (width, height) in raw["aspect_ratio"].items()},
        default_duration=raw["default"]["duration"],
        default_aspect_ratio=raw["default"]["aspect_ratio"],
    )
