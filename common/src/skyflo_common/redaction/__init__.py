"""The redactor for secrets that the engine and the tool server share.

`Redactor` masks JSON trees (`redact`), manifests and patches given as text (`redact_manifest`), tool arguments
(`redact_arguments`) and free text (`redact_text`). A masked value reads `masked, 12 bytes, 1f0c5b2a`: its length and a
keyed fingerprint. `contains_mask` finds masks that come back in arguments. docs/security.md lists what is promised.
"""

from skyflo_common.redaction.background import (
    find_hidden_values,
    holds_secret_in_large,
    redact_large,
    redact_large_arguments,
    redact_large_text,
)
from skyflo_common.redaction.budget import Exhausted
from skyflo_common.redaction.mask_search import contains_mask
from skyflo_common.redaction.masks import Fingerprints, is_mask
from skyflo_common.redaction.names import is_secret_name
from skyflo_common.redaction.redactor import Redactor

__all__ = [
    "Exhausted",
    "Fingerprints",
    "Redactor",
    "contains_mask",
    "find_hidden_values",
    "holds_secret_in_large",
    "is_mask",
    "is_secret_name",
    "redact_large",
    "redact_large_arguments",
    "redact_large_text",
]
