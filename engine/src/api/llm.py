"""The language models in use, chosen for the container."""

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from src.api.adapters.late import Late, imported
from src.api.config.settings import Settings
from src.api.services.titles import TitleModel

if TYPE_CHECKING:
    from src.api.adapters.model.choice import ModelAdapter

__all__ = ["open_model", "title_model", "warm_model"]


async def open_model(stack: AsyncExitStack, settings: Settings, name: str) -> "ModelAdapter":
    await imported("src.api.adapters.model.choice")
    from src.api.adapters.model.choice import choose_model

    model = choose_model(
        name,
        host=settings.llm_host,
        adapter=settings.llm_adapter,
        keys=settings.environment,
        window=settings.llm_context_window,
    )
    stack.push_async_callback(model.aclose)
    return model


async def warm_model(model: "Late[ModelAdapter]") -> None:
    """Last, for it may take long: what the adapter imports by itself when it is first used."""
    await (await model()).warm()


def title_model(stack: AsyncExitStack, settings: Settings, model: "Late[ModelAdapter]") -> TitleModel | None:
    """Who names conversations, if anybody: `model`, or one of its own that is opened when it is first needed."""
    if not settings.llm_titles:
        return None
    name = settings.llm_title_model
    if name is None or name == settings.llm_model:
        return TitleModel(settings.llm_model, model)
    own = Late(lambda: open_model(stack, settings, name))
    stack.push_async_callback(own.cancel)
    return TitleModel(name, own)
