"""A finished video, from the service's link to a whole file in the user's folder.

``names`` what the file is called; ``links`` which links may be fetched; ``transfer`` and ``answers`` the HTTP of
it; ``parts`` the hidden file that it grows in; ``mp4`` where such a file ends; ``publishing`` how it gets its
name; ``locks`` and ``folders`` the ground they stand on. Importing this package is cheap: httpx comes with the
first download.
"""

from sora_mcp.downloads.downloader import Downloader
from sora_mcp.downloads.publishing import SavedVideo

__all__ = ["Downloader", "SavedVideo"]
