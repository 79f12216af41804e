"""The documentation of the API as a page, from its own OpenAPI schema: what is accepted, what is answered."""

from collections.abc import Iterator, Mapping
from typing import Any

_VERBS = ("get", "post", "put", "delete", "patch")
_DEEPEST = 3


def list_endpoints(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what there is to know of every endpoint, in the order of the schema.

    Args:
        schema: an OpenAPI schema of version 3.
    """
    return [
        _describe(schema, path, verb, operation)
        for path, operations in schema.get("paths", {}).items()
        for verb, operation in operations.items()
        if verb in _VERBS
    ]


def _describe(
    schema: Mapping[str, Any], path: str, verb: str, operation: Mapping[str, Any]
) -> dict[str, Any]:
    answers = operation.get("responses", {})
    inputs = [
        {
            "name": own["name"],
            "type": _name_type(schema, own.get("schema", {})),
            "text": own.get("description") or own.get("schema", {}).get("description", ""),
            "is_required": own.get("required", False),
        }
        for own in operation.get("parameters", [])
    ]
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        body = _resolve(schema, content.get("schema", {}))
        needed = body.get("required", [])
        inputs += [
            {**field, "type": f"{field['type']}, {kind}", "is_required": field["name"] in needed}
            for field in _list_fields(schema, body, "", 0)
        ]
    good: Mapping[str, Any] = next(
        (answer for status, answer in answers.items() if str(status).startswith("2")), {}
    )
    form = good.get("content", {}).get("application/json", {}).get("schema", {})
    return {
        "id": f"{verb}{path}".replace("/", "-").replace("{", "").replace("}", ""),
        "verb": verb.upper(),
        "path": path,
        "text": operation.get("description") or operation.get("summary", ""),
        "inputs": inputs,
        "outputs": list(_list_fields(schema, _resolve(schema, form), "", _DEEPEST)),
        "statuses": ", ".join(sorted(str(status) for status in answers)),
    }


def _list_fields(
    schema: Mapping[str, Any], form: Mapping[str, Any], prefix: str, depth: int
) -> Iterator[dict[str, Any]]:
    """Yield the fields of an object and of objects in it by dotted name; ``[]`` is each of a list."""
    for name, own in form.get("properties", {}).items():
        yield {
            "name": f"{prefix}{name}",
            "type": _name_type(schema, own),
            "text": own.get("description", ""),
        }
        inner = _resolve(schema, own)
        mark = "."
        if inner.get("type") == "array":
            inner, mark = _resolve(schema, inner.get("items", {})), "[]."
        if depth > 1:
            yield from _list_fields(schema, inner, f"{prefix}{name}{mark}", depth - 1)


def _resolve(schema: Mapping[str, Any], form: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a reference such as ``#/components/schemas/Name``."""
    own: Any = form
    while isinstance(own, dict) and str(own.get("$ref", "")).startswith("#/"):
        own_path = own["$ref"].removeprefix("#/").split("/")
        own = schema
        for word in own_path:
            own = own.get(word, {})
    return own if isinstance(own, dict) else {}


def _name_type(schema: Mapping[str, Any], form: Mapping[str, Any]) -> str:
    """Return a type in words, such as "list of numbers" or "video or clip"."""
    own = _resolve(schema, form)
    if "enum" in own:
        return " or ".join(str(value) for value in own["enum"])
    if "const" in own:
        return str(own["const"])
    if "anyOf" in own:
        return " or ".join(dict.fromkeys(_name_type(schema, one) for one in own["anyOf"]))
    if own.get("type") == "array":
        return f"list of {_name_type(schema, own.get('items', {}))}"
    if own.get("format") == "binary" or "contentMediaType" in own:
        return "file"
    return str(own.get("type", "anything"))
