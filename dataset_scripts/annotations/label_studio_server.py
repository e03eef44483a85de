"""Label Studio (1.23) through its HTTP interface: a project, its pictures, tasks to import and the answers to them.

A project is known by its title, and pictures are served from a folder on the server's disk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dataset_scripts.annotations.label_studio import PROJECT, TASKS_PER_FILE, sentences_of
from dataset_scripts.annotations.sentence import Faults, Sentence

TOKEN = "LABEL_STUDIO_TOKEN"
TIMEOUT = 120  # seconds, for each request


class Server:
    """A Label Studio server.

    Args:
        url: its address.
        token: the access token of its owner (by default the environment variable LABEL_STUDIO_TOKEN).
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        import httpx

        token = token or os.environ.get(TOKEN, "")
        if not token:
            raise ValueError(f"`server` needs the access token of its owner in the environment variable {TOKEN}.")
        headers = {"Authorization": f"Token {token}"}
        self._http = httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=TIMEOUT)

    def push(self, folder: Path, name: str, pictures: Path | None = None) -> tuple[str, int]:
        """Make the project of a folder if needed, and import the tasks that it does not have.

        Args:
            folder: with `project.json` and files of tasks.
            name: with which these begin.
            pictures: the folder of the pictures, as the server sees it.

        Returns:
            The title of the project, and how many tasks were imported.
        """
        settings = json.loads((folder / PROJECT).read_text("utf-8"))
        project = self.project(settings["title"]) or self._ask("POST", "/api/projects", json=settings)["id"]
        if pictures is not None:
            self._serve(project, os.path.abspath(pictures))
        known = {task["data"].get("uid") for task in self._tasks(project)}
        imported = 0
        for path in sorted(folder.glob(f"{name}-*.json")):
            new = [task for task in json.loads(path.read_text("utf-8")) if task["data"]["uid"] not in known]
            if new:
                self._ask("POST", f"/api/projects/{project}/import", json=new)
            imported += len(new)
        self._remove_doubles(project)
        return settings["title"], imported

    def sentences(self, title: str, faults: Faults) -> Iterator[Sentence]:
        """Yield the sentences in the project of this title, as `label_studio.read_label_studio` does."""
        project = self.project(title)
        if project is None:
            raise ValueError(f"`project` {title!r} is not on the server; run `tasks --server` first, or name another.")
        users = {user["id"]: _name(user) for user in self._ask("GET", "/api/users/")}
        asked = {"exportType": "JSON", "download_all_tasks": "true"}
        exported = self._ask("GET", f"/api/projects/{project}/export", params=asked)
        yield from sentences_of(exported, f"`project` {title!r}", title, faults, users=users)

    def project(self, title: str) -> int | None:
        """Return the number of the project with this title."""
        found = (project["id"] for project in self._pages("/api/projects", {}) if project["title"] == title)
        return min(found, default=None)

    def _remove_doubles(self, project: int) -> None:
        """Remove tasks with the `uid` of another, unless people have answered them.

        The server ends an import whose sender was stopped, perhaps after the next one has asked for the known tasks.
        """
        tasks = sorted(self._tasks(project), key=lambda task: (-task["total_annotations"], task["id"]))
        seen: set[str] = set()
        for task in tasks:
            uid = task["data"].get("uid", f"task {task['id']}")
            if uid in seen and not task["total_annotations"]:
                self._ask("DELETE", f"/api/tasks/{task['id']}/")
            seen.add(uid)

    def _serve(self, project: int, folder: str) -> None:
        """Let the server show the pictures of a folder."""
        present = self._ask("GET", "/api/storages/localfiles", params={"project": project})
        if all(storage["path"] != folder for storage in present):
            storage = {"project": project, "title": "pictures", "path": folder, "use_blob_urls": True}
            self._ask("POST", "/api/storages/localfiles", json=storage)

    def _tasks(self, project: int) -> Iterator[dict[str, Any]]:
        return self._pages("/api/tasks", {"project": project, "fields": "all"})

    def _pages(self, path: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the entries of all pages of a listing."""
        page, seen = 1, 0
        while True:
            found = self._ask("GET", path, params={**params, "page": page, "page_size": TASKS_PER_FILE})
            entries = found.get("results", found.get("tasks"))
            yield from entries
            page, seen = page + 1, seen + len(entries)
            if not entries or seen >= found.get("count", found.get("total", 0)):
                return

    def _ask(self, method: str, path: str, **keywords: Any) -> Any:
        """Send a request; ValueError tells what the server answered."""
        import httpx

        try:
            answer = self._http.request(method, path, **keywords)
        except httpx.HTTPError as error:
            raise ValueError(f"`server` {self._http.base_url} cannot be reached ({error}); start it first.") from error
        if answer.is_error:
            raise ValueError(
                f"`server` refused {method} {path}: {answer.status_code} {answer.text[:500]}; check {TOKEN}, and that "
                "it was started with --enable-legacy-api-token."
            )
        return answer.json() if answer.content else None


def _name(user: Mapping[str, Any]) -> str:
    return str(user.get("username") or f"user-{user['id']}")
