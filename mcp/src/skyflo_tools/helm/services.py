"""What the Helm tools share: the settings, and the repositories."""

from skyflo_tools.helm.binary import HelmSettings
from skyflo_tools.helm.repositories import RepositoryStore


class HelmServices:
    """The settings of the binary and the repositories of this tool server."""

    def __init__(self, settings: HelmSettings) -> None:
        self.settings = settings
        self.repositories = RepositoryStore(settings)
