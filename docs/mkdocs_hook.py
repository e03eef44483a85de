"""What the site adds to `docs/`: the texts next to it, and links that work on the site as they do in a checkout.

MkDocs runs this file as a hook. All it knows of the project is where the texts are.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
# Texts outside `docs/`, and their pages.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"\[(?P<text>[^\[\]]*)\]\((?P<target>[^()\s:#]+)(?P<anchor>#[^()\s]*)?\)")


def on_files(files, config):
    """Add the pages of `PAGES`."""
    from mkdocs.structure.files import File

    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown, page, **_):
    """Fix the links of a page."""
    sources = {place: source for source, place in PAGES.items()}
    return fix_links(markdown, ROOT / sources.get(page.file.src_uri, f"docs/{page.file.src_uri}"))


def fix_links(markdown: str, path: Path) -> str:
    """Point the links in the text of the file `path` to pages of the site; for a file without one, give its path."""

    def fix(match: re.Match[str]) -> str:
        target = (path.parent / match["target"]).resolve()
        if not target.exists() or not target.is_relative_to(ROOT):
            return match.group()
        place = target.relative_to(ROOT).as_posix()
        if place not in PAGES and not target.is_relative_to(DOCS):
            return f"{match['text']} (`{place}`)" if match["text"].strip("`/") != place else f"`{place}`"
        page = PAGES.get(place) or target.relative_to(DOCS).as_posix()
        here = path.parent.relative_to(DOCS).as_posix() if path.is_relative_to(DOCS) else "."
        return f"[{match['text']}]({os.path.relpath(page, here)}{match['anchor'] or ''})"

    return LINK.sub(fix, markdown)
