"""The other shapes that the service is known to speak (api.md, sections 9 and 10), as changes to the plain one.

A dialect is a name of ``DIALECTS``, or several joined by ``+``: ``envelope+upper_case+errors_chinese``. Changes to
values are made first, then the place of the result, then the envelope.
"""

import json
import re
from collections.abc import Callable
from typing import Any, cast

from sora_mcp.simulator.answers import Answer, Refusal, html_answer, json_answer

Body = dict[str, Any]

_UPPER = {"queued": "NOT_START", "in_progress": "IN_PROGRESS", "completed": "SUCCESS", "failed": "FAILURE"}
_SYNONYMS = {"queued": "pending", "in_progress": "processing", "completed": "succeeded", "failed": "cancelled"}
_CHINESE = {
    "unauthorized": "无效的令牌",
    "invalid_request": "请求参数无效",
    "insufficient_quota": "用户额度不足",
    "task_not_found": "任务不存在",
    "model_not_found": "当前分组 default 下对于该模型无可用渠道",
    "rate_limit_exceeded": "请求过于频繁",
    "rate_limit_unavailable": "限流服务不可用",
    "content_policy_violation": "提示词违反内容政策",
    "internal_error": "当前负载过高",
    "generation_failed": "视频生成失败",
}


def _status_words(words: dict[str, str]) -> Callable[[Body], Body]:
    return lambda task: {**task, "status": words.get(task["status"], task["status"])}


def _percent(task: Body) -> Body:
    return {**task, "progress": f"{task['progress']}%"} if "progress" in task else task


def _numbers_as_strings(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers_as_strings(item) for key, item in cast("Body", value).items()}
    if isinstance(value, list):
        return [_numbers_as_strings(item) for item in cast("list[Any]", value)]
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _result(place: Callable[[list[str]], Body]) -> Callable[[Body], Body]:
    def move(task: Body) -> Body:
        if "result" not in task:
            return task
        rest = {key: value for key, value in task.items() if key != "result"}
        return {**rest, **place([item["url"] for item in task["result"]["data"]])}

    return move


def _under_task_id(task: Body) -> Body:
    return {"task_id": task["id"], **{key: value for key, value in task.items() if key != "id"}}


def _list_envelope(task: Body) -> Body:
    status = "submitted" if task["status"] == "queued" else task["status"]
    return {"code": 200, "data": [{**_under_task_id(task), "status": status}]}


_TASK: dict[str, Callable[[Body], Body]] = {
    "upper_case": _status_words(_UPPER),
    "synonyms": _status_words(_SYNONYMS),
    "percent": _percent,
    "result_object": _result(lambda urls: {"result": {"type": "video", "data": {"url": urls[0], "format": "mp4"}}}),
    "result_videos": _result(lambda urls: {"result": {"videos": [{"url": url} for url in urls]}}),
    "result_videos_list": _result(lambda urls: {"result": {"videos": [{"url": urls}]}}),
    "result_url": _result(lambda urls: {"result": {"url": urls[0]}}),
    "video_url": _result(lambda urls: {"video_url": urls[0]}),
    "url": _result(lambda urls: {"url": urls[0]}),
    "metadata_url": _result(lambda urls: {"metadata": {"url": urls[0]}}),
    "metadata_video_url": _result(lambda urls: {"metadata": {"video_url": urls[0]}}),
    "no_result": _result(lambda _: {}),
    "task_id": _under_task_id,
    "envelope": lambda task: {"code": "success", "message": "", "data": task},
    "task_id_envelope": lambda task: {"code": "success", "message": "", "data": _under_task_id(task)},
    "list_envelope": _list_envelope,
}


def _deep_message(_code: str, message: str) -> str:
    for _ in range(3):
        message = json.dumps({"error": {"message": message}})
    return message


_WORDS: dict[str, Callable[[str, str], str]] = {
    "errors_chinese": _CHINESE.get,
    "errors_deep": _deep_message,
}


def _error(**fields: Any) -> Body:
    return {"error": fields}


def _flat(refusal: Refusal, words: str) -> tuple[int, Body]:
    if refusal.status == 404:  # noqa: PLR2004 - the shape of an unknown task
        return 400, {"message": "task_not_exist"}
    return refusal.status, {"message": words}


_SHAPES: dict[str, Callable[[Refusal, str], tuple[int, Body]]] = {
    "errors_int_code": lambda r, words: (r.status, _error(code=r.status, message=words, type=_type(r))),
    "errors_string_code": lambda r, words: (r.status, _error(code=r.code, message=words)),
    "errors_new_api": lambda r, words: (r.status, _error(code=r.code, message=words, type="new_api_error")),
    "errors_message_only": lambda r, words: (r.status, _error(message=f"{words} (request id: {_request_id(r)})")),
    "errors_success_false": lambda r, words: (r.status, {"success": False, "message": words}),
    "errors_flat": _flat,
}

DIALECTS = ("plain", "numbers_as_strings", *_TASK, *_WORDS, *_SHAPES, "errors_html")
"""Every name that a dialect can be made of."""


class Dialect:
    """How the service speaks: made from a name, applied to plain bodies and refusals."""

    def __init__(self, name: str) -> None:
        """Take a name of ``DIALECTS`` or several joined by ``+``.

        Raises:
            ValueError: There is no such dialect.
        """
        names = set(name.split("+"))
        if unknown := sorted(names - set(DIALECTS)):
            raise ValueError(f"unknown dialect {unknown[0]!r}; there are {', '.join(DIALECTS)}")
        self.name = name
        self._numbers = "numbers_as_strings" in names
        self._html = "errors_html" in names
        self._task = [change for key, change in _TASK.items() if key in names]
        self._words = [change for key, change in _WORDS.items() if key in names]
        self._shape = next((shape for key, shape in _SHAPES.items() if key in names), None)

    def task(self, task: Body) -> Answer:
        """The answer that tells of a task: an order, a remix or a status."""
        if isinstance(error := task.get("error"), dict):
            failure = cast("Body", error)
            task = {**task, "error": {**failure, "message": self._say(failure["code"], failure["message"])}}
        for change in self._task:
            task = change(task)
        return self.reply(task)

    def reply(self, body: Body) -> Answer:
        """Any other answer that went well."""
        return json_answer(_numbers_as_strings(body) if self._numbers else body)

    def refuse(self, refusal: Refusal, path: str) -> Answer:
        """The answer to a request for ``path`` that is turned down."""
        if self._html:
            return html_answer(f"{refusal.status} {refusal.code}", refusal.status, refusal.headers)
        words = self._say(refusal.code, refusal.message)
        status, body = (self._shape or _plain_shape(refusal, path))(refusal, words)
        if self._shape is _SHAPES["errors_success_false"] and path.endswith("/balance"):
            status = 200
        return json_answer(body, status, refusal.headers)

    def _say(self, code: str, message: str) -> str:
        for change in self._words:
            message = change(code, message)
        return message


def _plain_shape(refusal: Refusal, path: str) -> Callable[[Refusal, str], tuple[int, Body]]:
    """The shape of api.md, section 9, that each refusal is documented with."""
    if refusal.status == 401:  # noqa: PLR2004
        return _SHAPES["errors_message_only"]
    if refusal.code == "model_not_found":
        return _SHAPES["errors_new_api"]
    if refusal.status == 400 and path.startswith("/v1/uploads/"):  # noqa: PLR2004
        return _SHAPES["errors_success_false"]
    return _SHAPES["errors_int_code" if refusal.status in {400, 404, 405} else "errors_string_code"]


def _type(refusal: Refusal) -> str:
    return "not_found_error" if refusal.status == 404 else "invalid_request_error"  # noqa: PLR2004


def _request_id(refusal: Refusal) -> str:
    return "sim" + re.sub(r"\W", "", f"{id(refusal):x}")
