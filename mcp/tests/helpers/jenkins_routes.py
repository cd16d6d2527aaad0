"""The routes of the Jenkins stand-in."""

import json
import re
from collections.abc import Callable
from typing import Any

from jenkins_controller import NOT_FOUND, NOTE, Build, Controller, Job, answer, redirect, tree_of
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

HTML = "text/html"


async def route(state: Controller, request: Request, raw_path: str, user: str, session: str) -> Response:
    path = re.sub("%25", "%", raw_path.strip("/"))
    if (fixed := await _fixed_route(state, request, path, user, session)) is not None:
        return fixed
    if path == "":
        return Response("<html>Dashboard</html>", media_type=HTML)
    parts, names = path.split("/"), []
    while len(parts) >= 2 and parts[0] == "job":
        names.append(parts[1])
        parts = parts[2:]
    job = state.jobs.get("/".join(names))
    if job is None:
        return NOT_FOUND
    if parts in ([], [""]):
        return Response("<html>a job</html>", media_type=HTML)
    if parts[:2] == ["api", "json"]:
        return answer(request, state.job_bean(job, deep=bool(tree_of(request))))
    if parts[0] in ("build", "buildWithParameters"):
        return await _build(state, request, job, parts[0])
    found = [build for build in job.builds if parts[0] in (str(build.number), "lastBuild")]
    return await _build_route(state, request, found[0], "/".join(parts[1:])) if found else NOT_FOUND


async def _fixed_route(state: Controller, request: Request, path: str, user: str, session: str) -> Response | None:
    beans: dict[str, Callable[[], dict[str, Any]]] = {
        "api/json": lambda: _root(state, request),
        "computer/api/json": lambda: _computers(state),
        "me/api/json": lambda: _person(user),
        "queue/api/json": lambda: {"_class": "hudson.model.Queue", "items": _waiting(state)},
        "whoAmI/api/json": lambda: _person(user),
    }
    if path in beans:
        return answer(request, beans[path]())
    if path == "crumbIssuer/api/json":
        crumb = {"crumb": state.crumb(user, session), "crumbRequestField": "Jenkins-Crumb"}
        return JSONResponse(crumb) if state.has_crumbs else NOT_FOUND
    if path == "queue/cancelItem" and request.method == "POST":
        return _cancel(state, int(request.query_params["id"]))
    if found := re.fullmatch(r"queue/item/(\d+)/api/json", path):
        items = [item for item in state.queue if item.number == int(found[1]) and not item.is_forgotten]
        for item in items:
            state.note_read(item)
        return answer(request, state.item_bean(items[0])) if items else NOT_FOUND
    return None


def _root(state: Controller, request: Request) -> dict[str, Any]:
    deep = bool(tree_of(request))
    jobs = [state.job_bean(job, deep=True) if deep else state.brief(job) for job in state.children("")]
    return {"_class": "hudson.model.Hudson", "mode": "NORMAL", "numExecutors": 2, "jobs": jobs, "url": state.root}


def _person(user: str) -> dict[str, Any]:
    return {"_class": "hudson.model.User", "id": user, "fullName": user, "name": user, "authorities": ["authenticated"]}


def _computers(state: Controller) -> dict[str, Any]:
    running = [build.bean(state.root) for job in state.jobs.values() for build in job.builds if build.is_building]
    executors = [{"currentExecutable": build} for build in running]
    return {"_class": "hudson.model.ComputerSet", "computer": [{"executors": executors, "oneOffExecutors": []}]}


def _waiting(state: Controller) -> list[dict[str, Any]]:
    return [state.item_bean(item) for item in state.queue if item.is_waiting]


def _cancel(state: Controller, number: int) -> Response:
    for item in state.queue:
        if item.number == number and item.is_waiting:
            item.is_cancelled = True
            return Response(status_code=204)
    return Response("not found", 404)


async def _build(state: Controller, request: Request, job: Job, route_name: str) -> Response:
    if request.method != "POST":
        return Response("<html>POST required</html>", 405, {"Allow": "POST"})
    if not job.is_buildable:
        return Response(f"{job.full_name} is not buildable", 409)
    is_with = route_name == "buildWithParameters"
    if is_with and not job.parameters:
        return Response(f"{job.full_name} is not parameterized", 400)
    form = dict(request.query_params)
    async with request.form() as fields:
        for name, value in fields.multi_items():
            if name in form:
                return Response("<html>a parameter is given twice</html>", 500)
            form[name] = (await value.read()).decode() if isinstance(value, UploadFile) else value
    if job.parameters and not is_with and "json" not in form:
        return Response("<html>Nothing is submitted</html>", 400)
    if "json" in form:
        form = {each["name"]: each.get("value", "") for each in json.loads(form["json"]).get("parameter", [])}
    state.received.append(form)
    values = {
        each["name"]: str(form.get(each["name"], each.get("default", "")))
        for each in job.parameters
        if each["type"] != "FileParameterDefinition" or each["name"] in form
    }
    for each in job.parameters:
        if "choices" in each and values[each["name"]] not in each["choices"]:
            return Response(f"<html>Illegal choice for parameter {each['name']}</html>", 500)
    item, is_new = state.schedule(job, values)
    status = 201 if is_new or not is_with else 303
    return Response(status_code=status, headers={"Location": f"{state.root}queue/item/{item.number}/"})


async def _build_route(state: Controller, request: Request, build: Build, rest: str) -> Response:
    if rest == "api/json":
        return answer(request, build.bean(state.root))
    if rest == "consoleText":
        return Response(build.log.replace(NOTE, ""), media_type="text/plain")
    if rest == "logText/progressiveText":
        return _progressive_text(build, int(request.query_params.get("start", 0)))
    if rest in ("submitDescription", "configSubmit", "stop", "term", "kill"):
        return await _change_build(state, request, build, rest)
    return Response("<html>a build</html>", media_type=HTML) if rest == "" else NOT_FOUND


async def _change_build(state: Controller, request: Request, build: Build, what: str) -> Response:
    """Change a build. The answer to a stop is a redirect, also where nothing was building."""
    if request.method != "POST":
        return Response("<html>POST required</html>", 405, {"Allow": "POST"})
    form = await request.form()
    if what == "submitDescription":
        build.description = str(form["description"])
    elif what == "configSubmit":
        given = json.loads(str(form["json"]))
        build.display_name, build.description = given["displayName"], given["description"]
    elif build.is_building:
        build.result = "ABORTED"
        build.write("Aborted by alice", "Finished: ABORTED")
    return redirect(state.root)


def _progressive_text(build: Build, start: int) -> Response:
    """Answer with the lines from a raw offset: notes count in it, are not sent, and a start past the end is 0."""
    raw = build.log.encode()
    start = 0 if start > len(raw) else start
    end = raw.rfind(b"\n") + 1 if build.is_building else len(raw)
    sent = raw[start : max(start, end)].replace(NOTE.encode(), b"").replace(b"\n", b"\r\n")
    headers = {"X-Text-Size": str(max(start, end))} | ({"X-More-Data": "true"} if build.is_building else {})
    return Response(sent, headers=headers, media_type="text/plain")
