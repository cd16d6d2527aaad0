"""Values that a caller gives to a chart: parsed, checked and passed to helm in a file."""

import asyncio
import json
from typing import Annotated

from pydantic import Field

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.arguments import reject_unsafe_values
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.helm.binary import HelmFolder
from skyflo_tools.kubernetes.yaml_documents import read_documents
from skyflo_tools.tool import CallContext

FILE = "values.json"
GivenValues = Annotated[
    str,
    Field(default="", max_length=256 * 1024, description="YAML or JSON."),
]


def parse_values(text: str) -> JsonObject:
    """Parse values as YAML or JSON. Raises InvalidArguments."""
    documents = [each.value for each in read_documents(text) if each.value is not None]
    if not documents:
        return {}
    if len(documents) > 1 or not isinstance(documents[0], dict):
        raise InvalidArguments("values must be one YAML mapping", hint="such as {replicas: 2, image: {tag: '1.2'}}")
    reject_unsafe_values(documents[0])
    return documents[0]


async def write_values(text: str, folder: HelmFolder, call: CallContext) -> list[str]:
    """Write the values to a file and return helm's flag for it. Secrets among them are hidden in the whole result."""
    values = await asyncio.to_thread(parse_values, text)
    await call.hide_values_of({"values": values})
    if not values:
        return []
    path = folder.path / FILE
    await asyncio.to_thread(path.write_text, json.dumps(values))
    return [f"--values={path}"]
