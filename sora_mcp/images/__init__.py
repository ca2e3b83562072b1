"""A reference image, from anywhere, made safe and made to fit.

Two sides that share nothing but a pipe::

    ours         preparer -> sources -> paths      a path, a link or a data: URI becomes an open file
                          -> fetch
                          -> guard -> wording      the file goes to a child, pixels and numbers come back
    the child's  worker   -> limits                memory and time
                          -> checks                what it is, how large
                          -> fitting -> colours    decoded, turned, made to fit, encoded

Only the child imports Pillow.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sora_mcp.images.preparer import ImagePreparer, PreparedImage

__all__ = ["ImagePreparer", "PreparedImage"]


def __getattr__(name: str) -> object:
    """Import our side when it is asked for: the child imports this package too, and each of its milliseconds counts."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sora_mcp.images import preparer  # noqa: PLC0415 - see above

    return getattr(preparer, name)
