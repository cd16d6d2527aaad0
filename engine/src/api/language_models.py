"""Open the language models that the settings name."""

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from src.api.adapters.lazy import Lazy, import_in_thread
from src.api.config.settings import Settings
from src.api.services.runs.titles import TitleModel

if TYPE_CHECKING:
    from src.api.adapters.model.selection import ModelAdapter

__all__ = ["open_model", "title_model", "warm_model"]


async def open_model(stack: AsyncExitStack, settings: Settings, name: str) -> "ModelAdapter":
    await import_in_thread("src.api.adapters.model.selection")
    from src.api.adapters.model.openai import ModelTimeouts
    from src.api.adapters.model.selection import choose_model

    model = choose_model(
        name,
        host=settings.llm_host,
        adapter=settings.llm_adapter,
        keys=settings.environment,
        window=settings.llm_context_window,
        timeouts=ModelTimeouts(
            first_token=settings.llm_first_token_seconds, between_tokens=settings.llm_between_tokens_seconds
        ),
    )
    stack.push_async_callback(model.aclose)
    return model


async def warm_model(model: "Lazy[ModelAdapter]") -> None:
    """Import what the adapter would import on its first request. Loaded last, because it may take long."""
    await (await model()).warm()


def title_model(stack: AsyncExitStack, settings: Settings, model: "Lazy[ModelAdapter]") -> TitleModel | None:
    """Return the model that generates titles, or None. A separate title model is opened when it is first used."""
    if not settings.llm_titles:
        return None
    name = settings.llm_title_model
    if name is None or name == settings.llm_model:
        return TitleModel(settings.llm_model, model)
    own = Lazy(lambda: open_model(stack, settings, name))
    stack.push_async_callback(own.cancel)
    return TitleModel(name, own)
