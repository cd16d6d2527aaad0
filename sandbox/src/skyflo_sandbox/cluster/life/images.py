"""Images and the programs in them: what a pull finds, what a container prints, whether it stays up."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Catalogue", "Image", "Program", "Ticking", "split"]


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Ticking(_Declared):
    """Lines that come again and again while a program runs, one every so many seconds, in turn."""

    every: float = Field(default=15.0, gt=0)
    lines: tuple[str, ...] = ()


class Program(_Declared):
    """What runs in a container. Texts may use `{tag}`, `{pod}`, `{env[KEY]}`; those that tick `{ms}`, `{id}`."""

    start: tuple[str, ...] = ("{pod} starting, image tag {tag}", "ready")
    tick: Ticking = Ticking()
    requires: dict[str, str] = Field(default_factory=dict)
    """Environment variables that it can't do without, and where it says that they are looked for."""

    missing: str = "FATAL config: {key} is not set (expected in {where})"
    crashes: tuple[str, ...] = ()
    """What it prints before it exits with code 1; empty for one that stays up."""


class Image(_Declared):
    """One repository. With `tags`, only those exist; `programs` may name another program for one of them."""

    tags: tuple[str, ...] = ()
    size: int = 31_457_280
    program: Program = Program()
    programs: dict[str, Program] = Field(default_factory=dict)


class Catalogue(_Declared):
    """All repositories that are known by name; any other has every tag and an ordinary program."""

    images: dict[str, Image] = Field(default_factory=dict)

    def exists(self, image: str) -> bool:
        repository, tag = split(image)
        known = self.images.get(repository)
        return tag != "missing" and (known is None or not known.tags or tag in known.tags)

    def size(self, image: str) -> int:
        return self._image(image).size

    def program(self, image: str) -> Program:
        repository, tag = split(image)
        if tag == "crash":
            return Program(start=(f"{repository} starting",), crashes=("fatal: unrecoverable error, giving up",))
        known = self._image(image)
        return known.programs.get(tag, known.program)

    def ready(self, image: str) -> bool:
        """Whether a container of it ever becomes ready."""
        return split(image)[1] != "never-ready"

    def _image(self, image: str) -> Image:
        return self.images.get(split(image)[0], Image())


def split(image: str) -> tuple[str, str]:
    """Repository and tag (`latest` where none is named); a digest counts as the tag."""
    repository, at, digest = image.partition("@")
    if at:
        return repository.rpartition(":")[0] or repository, digest
    head, colon, tag = image.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (image, "latest")
