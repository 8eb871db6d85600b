"""Readable paths for files that are not in the store yet: theirs, or links in a folder for series and fetched files."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from trialscan.training.datasets.objects import ObjectStore, is_url


class Staging:
    """A folder that lives as long as the `with` block, inside the store."""

    def __init__(self, objects: ObjectStore, locations: Mapping[str, Path | str]) -> None:
        self._objects = objects
        self._locations = dict(locations)
        objects.partial.mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(dir=objects.partial)

    def __enter__(self) -> Self:
        """Nothing is linked or fetched before it is asked for."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove links and new files; the cache of fetched files stays."""
        self._folder.cleanup()

    def file(self, path: str) -> Path:
        """The file of that path in the snapshot; one of a URL is fetched. Raises InputError where that fails."""
        location = self._locations[path]
        if not is_url(location):
            return Path(location)
        link = self.new(path)
        if not link.exists():
            link.symlink_to(self._objects.fetch(str(location))[0].absolute())
        return link

    def folder(self, path: str, files: tuple[str, ...]) -> Path:
        """A folder of links to `files`, which lie below `path` in the snapshot."""
        root = Path(self._folder.name, "folders")
        for file in files:
            link = root / file
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to(self.file(file).absolute())
        return root / path

    def new(self, path: str) -> Path:
        """Where a file of that path in the snapshot may be written."""
        place = Path(self._folder.name, "files", path)
        place.parent.mkdir(parents=True, exist_ok=True)
        return place
