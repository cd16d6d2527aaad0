"""What lives in the cluster: controllers, a scheduler and the kubelets of three nodes, on one agenda.

`Life` runs them. Each controller is level-triggered: `sync` looks at one object as it is now and does what is due. So
it does not matter why it was called, how often, or whether the process was another one a moment ago.
"""

from skyflo_sandbox.cluster.life.life import Life
from skyflo_sandbox.cluster.life.logbook import LogBook
from skyflo_sandbox.cluster.life.tempo import Tempo

__all__ = ["Life", "LogBook", "Tempo"]
