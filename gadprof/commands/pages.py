"""A committed page of a command's own: written where it is asked for, or compared with the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gadprof.errors import OutputError
from gadprof.output import check_writable, emit, tell, write_folder
from gadprof.results.sentences import counted


def wants_page(path: str | None, form: str | None, *, whole: bool) -> bool:
    """Whether ``-o PAGE.md`` asks for the page and its files, not for one printed form."""
    return path is not None and path.endswith(".md") and whole and form is None


def page_path(text: str, command: str, *, check: bool) -> Path:
    """A page's path, checked before any work. Raises OutputError."""
    from gadprof.results.escape import file_stem

    page = Path(text)
    if page.suffix != ".md" or file_stem(page.stem) != page.stem or page.stem == "index":
        raise OutputError(
            f"{str(page)!r} is no page's name; type for example -o "
            f"{page.with_name(file_stem(page.stem) or command).with_suffix('.md')}"
        )
    return page if check else check_writable(page)


def write_or_check(page: Path, files: Mapping[str, bytes], command: str, *, check: bool) -> int:
    """Write a page's files, or with ``check`` say which are stale; 1 where one is."""
    from gadprof.render.page_files import stale_files

    if not check:
        write_folder(page.parent, files)
        emit(f"wrote {counted(len(files), 'file')}: {page}")
        return 0
    stale = stale_files(page.parent, files)
    if stale:
        tell_stale(page.parent, stale, len(files), f"gadprof {command} -o {page}")
        return 1
    emit(f"{counted(len(files), 'file is', 'files are')} up to date: {page}")
    return 0


def tell_stale(folder: Path, stale: Sequence[str], files: int, again: str) -> None:
    """Name each stale file, how many of all they are, and the command that writes them anew."""
    for path in stale:
        tell(f"gadprof: stale: {folder / path}")
    are = "is" if len(stale) == 1 else "are"
    tell(f"gadprof: {len(stale)} of {counted(files, 'file')} {are} stale; type: {again}")
