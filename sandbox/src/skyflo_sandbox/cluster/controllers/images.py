"""Container images and their programs: what a pull finds, what a container prints, whether it crashes."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Image", "ImageCatalog", "PeriodicOutput", "Program", "split_image"]


class _ImageModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PeriodicOutput(_ImageModel):
    """Lines that a running program prints periodically, one every `every` seconds."""

    every: float = Field(default=15.0, gt=0)
    lines: tuple[str, ...] = ()


class Program(_ImageModel):
    """The program of an image. Texts may use `{tag}`, `{pod}`, `{env[KEY]}`; periodic lines `{ms}` and `{id}`."""

    start: tuple[str, ...] = ("{pod} starting, image tag {tag}", "ready")
    tick: PeriodicOutput = PeriodicOutput()
    requires: dict[str, str] = Field(default_factory=dict)
    """Required environment variables, and the expected source that the error message names."""

    missing: str = "FATAL config: {key} is not set (expected in {where})"
    crashes: tuple[str, ...] = ()
    """Lines printed before the program exits with code 1; empty if it keeps running."""


class Image(_ImageModel):
    """One repository. If `tags` is set, only these exist; `programs` overrides the program of single tags."""

    tags: tuple[str, ...] = ()
    size: int = 31_457_280
    program: Program = Program()
    programs: dict[str, Program] = Field(default_factory=dict)


class ImageCatalog(_ImageModel):
    """All repositories with special behaviour. Any other has every tag and a default program."""

    images: dict[str, Image] = Field(default_factory=dict)

    def exists(self, image: str) -> bool:
        repository, tag = split_image(image)
        image_info = self.images.get(repository)
        return tag != "missing" and (image_info is None or not image_info.tags or tag in image_info.tags)

    def size(self, image: str) -> int:
        return self._find_image(image).size

    def program(self, image: str) -> Program:
        repository, tag = split_image(image)
        if tag == "crash":
            return Program(start=(f"{repository} starting",), crashes=("fatal: unrecoverable error, giving up",))
        image_info = self._find_image(image)
        return image_info.programs.get(tag, image_info.program)

    def becomes_ready(self, image: str) -> bool:
        """Return whether a container of this image ever becomes ready."""
        return split_image(image)[1] != "never-ready"

    def _find_image(self, image: str) -> Image:
        return self.images.get(split_image(image)[0], Image())


def split_image(image: str) -> tuple[str, str]:
    """Split an image into repository and tag (default `latest`); a digest counts as the tag."""
    repository, at, digest = image.partition("@")
    if at:
        return repository.rpartition(":")[0] or repository, digest
    head, colon, tag = image.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (image, "latest")
