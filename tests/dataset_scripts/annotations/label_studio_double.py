"""A stand-in for Label Studio's HTTP interface, as far as our programs use it, which can cut a request off."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

TOKEN = "0123456789" * 4
USERS = ({"id": 2, "username": "ana"}, {"id": 3, "username": "ben"}, {"id": 4, "username": "eva"})


class LabelStudioDouble:
    """What the server knows; `cut` is the number of a request, from 1, that gets no answer.

    Args:
        done: whether the request that gets no answer is carried out all the same.
    """

    def __init__(self) -> None:
        self.projects: list[dict] = []
        self.storages: list[dict] = []
        self.tasks: list[dict] = []
        self.requests = 0
        self.cut: int | None = None
        self.done = True

    def titles(self):
        return [project["title"] for project in self.projects]

    def uids(self, title):
        return sorted(task["data"]["uid"] for task in self._of(self.project(title)))

    def project(self, title):
        return next(project["id"] for project in self.projects if project["title"] == title)

    def say(self, title, user, entities):
        """Answer all tasks of a project as one user; entities by uid, as start, end, type in code points."""
        for task in self._of(self.project(title)):
            text = task["data"]["text"]
            values = [
                {"start": start, "end": end, "text": text[start:end], "labels": [kind]}
                for start, end, kind in entities.get(task["data"]["uid"], ())
            ]
            result = [{"type": "labels", "value": value} for value in values]
            number = 1 + sum(len(task["annotations"]) for task in self.tasks)
            task["annotations"].append({"id": number, "completed_by": user, "was_cancelled": False, "result": result})

    def answer(self, method, path, query, body):
        """Carry out a request and return the answer; None for no content."""
        if match := re.fullmatch(r"/api/projects/(\d+)/(import|export)", path):
            return self._import(int(match[1]), body) if match[2] == "import" else self._of(int(match[1]))
        if match := re.fullmatch(r"/api/tasks/(\d+)/", path):
            self.tasks = [task for task in self.tasks if task["id"] != int(match[1])]
            return None
        if path == "/api/users/":
            return list(USERS)
        if path == "/api/tasks":
            found = [
                {**task, "total_annotations": len(task["annotations"])} for task in self._of(int(query["project"]))
            ]
            return {"total": len(found), "tasks": found}
        listed = {"/api/projects": self.projects, "/api/storages/localfiles": self.storages}[path]
        if method == "POST":
            listed.append({"id": len(listed) + 1, **body})
            return listed[-1]
        return {"count": len(listed), "results": listed} if path == "/api/projects" else listed

    def _of(self, project):
        return [task for task in self.tasks if task["project"] == project]

    def _import(self, project, tasks):
        for task in tasks:
            number = 1 + max((task["id"] for task in self.tasks), default=0)
            self.tasks.append({"id": number, "project": project, "annotations": [], **task})
        return {"task_count": len(tasks)}


@contextmanager
def running(double: LabelStudioDouble):
    """Serve it on the loopback; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def handle_request(self):
            double.requests += 1
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            address = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            cut = double.requests == double.cut
            if cut and not double.done:
                return
            known = self.headers.get("Authorization") == f"Token {TOKEN}"
            answer = double.answer(self.command, address.path, query, json.loads(body or "null")) if known else None
            if cut:
                return
            content = b"" if answer is None else json.dumps(answer).encode()
            self.send_response((200 if content else 204) if known else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = handle_request

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
