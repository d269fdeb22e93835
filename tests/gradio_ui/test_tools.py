"""The tools that the page offers assistants over MCP, as an assistant's client calls them."""

import ast
import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from handler import CARD
from serve.drawn_tissue import draw_field, encode


@pytest.fixture
def call(page_url):
    """Call a tool; returns whether it failed, and what it said."""

    def call(name: str, **arguments) -> tuple[bool, str]:
        async def ask():
            async with (
                streamable_http_client(f"{page_url}/gradio_api/mcp/") as (read, write, _),
                ClientSession(read, write) as session,
            ):
                await session.initialize()
                if not name:
                    return await session.list_tools()
                return await session.call_tool(name, arguments)

        # Playwright's loop runs in this thread.
        with ThreadPoolExecutor(1) as elsewhere:
            answer = elsewhere.submit(asyncio.run, ask()).result()
        return answer if not name else (answer.isError, answer.content[0].text)

    return call


def as_text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_an_assistant_is_told_what_each_tool_does_and_takes(call, page_url):
    tools = {tool.name: tool for tool in call("").tools}
    assert tools.keys() == {"classify_field", "judge_patient", "describe_model"}
    listed = requests.get(f"{page_url}/gradio_api/mcp/schema", timeout=30).json()
    assert [tool["name"] for tool in listed] == list(tools)  # as the page for programs says
    for tool in tools.values():
        for name, argument in tool.inputSchema["properties"].items():
            assert "base64" in argument["description"], name
    for name in ("classify_field", "judge_patient"):
        assert "no diagnosis" in tools[name].description


def test_the_tools_answer_as_the_service_does(call, client, field_png, service):
    failed, said = call("classify_field", image=as_text(field_png))
    assert not failed
    assert ast.literal_eval(said)["verdict"] == client.predict(field_png).verdict
    images = [as_text(field_png), as_text(encode(draw_field(2))), as_text(b"no image")]
    _, said = call("judge_patient", images=images)
    answer = ast.literal_eval(said)
    assert answer["patient"]["images"] == 2
    assert "not an image that can be read" in answer["images"][2]["error"]
    _, said = call("describe_model")
    assert ast.literal_eval(said)["card"] in (service.model_store / CARD).read_text()


@pytest.mark.parametrize("place", ["{page}/static/img/logo.svg", "/etc/passwd", "data:,x"])
def test_an_address_or_a_path_is_no_image(call, page_url, place):
    failed, said = call("classify_field", image=place.format(page=page_url))
    assert failed
    assert "Send the image file itself" in said
    _, said = call("judge_patient", images=[place.format(page=page_url)])
    assert "Send the image file itself" in ast.literal_eval(said)["images"][0]["error"]
    failed, _ = call("classify", image=place.format(page=page_url))
    assert failed
