from typing import Annotated

from fastapi import FastAPI, File, Query, UploadFile
from pydantic import BaseModel, Field

from unreel.web.page_api import list_endpoints


class Part(BaseModel):
    x: float = Field(description="Place.")


class Whole(BaseModel):
    total: int = Field(description="How many.")
    name: str | None = Field(description="Perhaps a name.")
    parts: list[Part]
    one: Part


def build_schema() -> dict[str, object]:
    app = FastAPI()

    @app.get("/things/{thing}", responses={404: {"description": "no such thing"}})
    def things(thing: str, kind: Annotated[list[str], Query(description="Which.")] = []) -> Whole:  # noqa: B006
        """Tell of a thing."""
        raise AssertionError

    @app.post("/files", status_code=201)
    def files(file: Annotated[UploadFile, File(description="What is sent.")]) -> Part:
        """Take a file."""
        raise AssertionError

    return app.openapi()


def test_every_endpoint_tells_what_it_takes_and_gives() -> None:
    first, second = list_endpoints(build_schema())
    assert (first["verb"], first["path"], first["text"]) == ("GET", "/things/{thing}", "Tell of a thing.")
    assert first["id"] == "get-things-thing"
    assert first["inputs"] == [
        {"name": "thing", "type": "string", "text": "", "is_required": True},
        {"name": "kind", "type": "list of string", "text": "Which.", "is_required": False},
    ]
    assert first["statuses"] == "200, 404, 422"
    assert second["verb"] == "POST"
    assert second["statuses"] == "201, 422"


def test_fields_of_answers_are_listed_with_those_of_objects_in_them() -> None:
    fields = {field["name"]: field for field in list_endpoints(build_schema())[0]["outputs"]}
    assert list(fields) == ["total", "name", "parts", "parts[].x", "one", "one.x"]
    assert fields["total"] == {"name": "total", "type": "integer", "text": "How many."}
    assert fields["name"]["type"] == "string or null"
    assert fields["parts"]["type"] == "list of object"
    assert fields["one.x"]["text"] == "Place."


def test_files_are_named_as_such() -> None:
    (field,) = list_endpoints(build_schema())[1]["inputs"]
    assert field == {
        "name": "file",
        "type": "file, multipart/form-data",
        "text": "What is sent.",
        "is_required": True,
    }


def test_choices_are_spelled_out() -> None:
    schema = {
        "paths": {
            "/a": {
                "get": {
                    "parameters": [
                        {"name": "unit", "schema": {"enum": ["video", "clip"]}},
                        {"name": "one", "schema": {"const": "pca", "description": "Only this."}},
                        {"name": "any", "schema": {}},
                    ],
                    "responses": {},
                },
                "parameters": [],
            }
        }
    }
    (endpoint,) = list_endpoints(schema)
    assert [field["type"] for field in endpoint["inputs"]] == ["video or clip", "pca", "anything"]
    assert endpoint["inputs"][1]["text"] == "Only this."
    assert endpoint["outputs"] == []


def test_a_schema_that_holds_itself_comes_to_an_end() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}}}
    answer = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}}
    schema = {
        "paths": {"/a": {"get": {"responses": {"200": answer}}}},
        "components": {"schemas": {"Node": node}},
    }
    names = [field["name"] for field in list_endpoints(schema)[0]["outputs"]]
    assert names == ["next", "next.next", "next.next.next"]


def test_an_empty_schema_has_no_endpoints() -> None:
    assert list_endpoints({}) == []
