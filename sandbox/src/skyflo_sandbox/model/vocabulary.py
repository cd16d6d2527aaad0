"""Names of kinds, and English words that are never the name of an object."""

from collections.abc import Mapping

__all__ = ["CLUSTER_WIDE", "FILLER", "KINDS", "NOUNS", "kind_of", "singular"]

KINDS: Mapping[str, tuple[str, ...]] = {
    "pods": ("pod", "po"),
    "deployments": (
        "deployment",
        "deploy",
        "deploys",
        "workload",
        "workloads",
        "app",
        "apps",
        "application",
        "applications",
    ),
    "replicasets": ("replicaset", "rs"),
    "statefulsets": ("statefulset", "sts"),
    "daemonsets": ("daemonset", "ds"),
    "services": ("service", "svc", "svcs"),
    "endpointslices": ("endpointslice", "endpoint", "endpoints"),
    "configmaps": ("configmap", "cm", "cms"),
    "secrets": ("secret",),
    "namespaces": ("namespace", "ns"),
    "nodes": ("node",),
    "jobs": ("job",),
    "cronjobs": ("cronjob", "cj"),
    "ingresses": ("ingress", "ing"),
    "persistentvolumeclaims": ("persistentvolumeclaim", "pvc", "pvcs"),
    "persistentvolumes": ("persistentvolume", "pv", "pvs"),
    "horizontalpodautoscalers": ("horizontalpodautoscaler", "hpa", "hpas"),
    "poddisruptionbudgets": ("poddisruptionbudget", "pdb", "pdbs"),
    "serviceaccounts": ("serviceaccount",),
    "networkpolicies": ("networkpolicy", "netpol"),
    "customresourcedefinitions": ("customresourcedefinition", "crd", "crds"),
    "storageclasses": ("storageclass",),
}
_BY_WORD = {word: plural for plural, words in KINDS.items() for word in (plural, *words)}
_MAYBE_NAMES = """
config configuration message messages model report reports request requests response sandbox setting settings
"""
_NEVER_NAMES = """
a about across active actual actually add after again against ago ah alive all also am an analyse analyze and another
any anybody anymore anyone anything applied apply are aren't around as ask assistant at available away awesome back
bad be because been before behind being bit bot both bounce bouncing bring broke broken buddy bug but by can can't
cannot cause caused causes causing change changed check cluster clusters come command completed config configuration
connect connection connections contain container containers containing contains context cool copies copy could count
cpu crash crashed crashes crashing crashloopbackoff crashlooping create createcontainerconfigerror currently cut dead
dear debug decrease delete deployed deploying describe detail detailed details diagnose did didn't die died dies
different display do does doesn't doing don't done double down due during each eating eight else ended env environment
errimagepull error errored erroring errors even event events ever every everything everything's everywhere evicted
exactly exist exists explain fail failed failing fails failure failures fetch few filter filtered find fine first five
fix fixed fixes flaky flapping for found four friend from full fully further get gets getting give given go goes going
good got great grep grow ha had half hang hanging hangs happen happened happening happens happy has have haven't
having he heal health healthy hello help her here hey hi high him his hour hours how however hung i i'd i'm i've if
image imagepullbackoff images important in includes including increase info information inside inspect instance
instances instead into investigate is isn't issue issues it it's its itself json just keep keeps key kill killed kind
kinds know kubectl kubernetes label labels last latency later latest least let let's like line lines list listed live
log logged logs long look looking looks loop looping lot lower make makes many match matches matching matter may maybe
me mean means memory mend mention mentions mess message messages might mind minute minutes missing model more most
much must my myself name named names namespaced need needs never new next nice nine no nobody none not nothing now
number object objects of off offline oh ok okay old on once one ones online only oom oomkilled or other our out output
over overview own part past patch pending per perhaps please pls plz possible previous print problem problems proper
properly pull pulled pulling put quick quickly quite raise ran reach reachable read ready really reason reasons reboot
recent recently recreate reduce refused remain remove repair replace replica replicas replicated report reports
request requests reset resolve resolved resource resources respond responding responds response responsive restart
restarted restarting restarts restore result returning revert revision rid right roll rollback rolled rolling rollout
root run running runs s sad same sandbox say says scale scaled scaling schedule scheduled second seconds see seem
seems serve serving set setting settings seven several shall she should show showing shows shrink shut since six size
skyflo slow slowly so solve some somebody someone something soon sort start started starting starts state status stay
still stop stopped stops stuck succeeded such summarise summarize summary sure system t tag tags tail take tell ten
terminating than thank thanks that that's the their them then there there's these they they're thing things think this
those three through till time timeout timeouts times timing to today together too took total traffic tries
troubleshoot try trying turn twice two type types um unable unavailable under undo unhealthy unknown unreachable
unschedulable until unwell up update upgrade us usage use used uses using usually value variable variables version
very via view want wants warning warnings was wasn't way we we're weird well went were weren't what what's whats when
where which while who whole why why's wide will with without won't work working works would wouldn't wrong yaml yes
yesterday yet you you're your yourself zero
"""
CLUSTER_WIDE = frozenset({"namespaces", "nodes", "persistentvolumes", "customresourcedefinitions", "storageclasses"})

FILLER = frozenset(_NEVER_NAMES.split())
NOUNS = frozenset(_MAYBE_NAMES.split())
"""Words that are names only next to a kind: `configmap settings`, `the report deployment`."""


def kind_of(word: str) -> str:
    """Return the plural for any name of a kind, or an empty string."""
    return _BY_WORD.get(word.lower(), "")


def singular(kind: str) -> str:
    """Return the singular of a kind, as it is used in sentences."""
    known = KINDS.get(kind)
    return known[0] if known else kind.removesuffix("s")
