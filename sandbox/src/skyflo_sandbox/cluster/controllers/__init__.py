"""Controllers, the scheduler and the kubelets of the sandbox's cluster; all share one work queue.

`ControllerManager` runs them. Controllers are level-triggered: `sync` compares one object's current state with the
desired state and acts. The reason for the call, repeated calls and a restart of the process make no difference.
"""

from skyflo_sandbox.cluster.controllers.container_logs import ContainerLogs
from skyflo_sandbox.cluster.controllers.manager import ControllerManager
from skyflo_sandbox.cluster.controllers.timings import Timings

__all__ = ["ContainerLogs", "ControllerManager", "Timings"]
