"""What the tools read of Jenkins' JSON. `tree` asks for these fields; others are ignored."""

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

PARAMETERS_TREE = "property[parameterDefinitions[name,type,description,choices,defaultParameterValue[name,value]]]"
BUILD_TREE = "number,queueId,result,building,displayName,description,timestamp,duration,estimatedDuration"
CAUSES_TREE = "actions[causes[shortDescription],parameters[name,value]]"
ITEM_TREE = "id,why,blocked,buildable,stuck,cancelled,inQueueSince,executable[number,url],task[name,url]"
SECRET_TYPES = frozenset({"PasswordParameterDefinition", "CredentialsParameterDefinition"})
FILE_TYPES = frozenset({"FileParameterDefinition", "StashedFileParameterDefinition"})


class JenkinsModel(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)

    class_name: str = Field(default="", alias="_class")

    @property
    def kind(self) -> str:
        """The last part of the Java class: WorkflowJob, Folder, FreeStyleProject."""
        return self.class_name.rpartition(".")[2]


class ParameterValue(JenkinsModel):
    name: str = ""
    value: JsonValue = None


class ParameterDefinition(JenkinsModel):
    name: str
    type: str = ""
    description: str | None = None
    choices: list[str] | None = None
    default_parameter_value: ParameterValue | None = None

    @property
    def is_secret(self) -> bool:
        return self.type in SECRET_TYPES

    @property
    def is_file(self) -> bool:
        return self.type in FILE_TYPES

    @property
    def default(self) -> JsonValue:
        """The default; none for secrets, which Jenkins does not show."""
        known = self.default_parameter_value
        return None if known is None or self.is_secret else known.value


class JobProperty(JenkinsModel):
    parameter_definitions: list[ParameterDefinition] = []


class Cause(JenkinsModel):
    short_description: str = ""


class Revision(JenkinsModel):
    sha1: str = Field(default="", alias="SHA1")
    branch: list[dict[str, JsonValue]] = []


class Action(JenkinsModel):
    causes: list[Cause] = []
    parameters: list[ParameterValue] = []
    last_built_revision: Revision | None = None
    remote_urls: list[str] = []


class Author(JenkinsModel):
    full_name: str = ""


class ChangeItem(JenkinsModel):
    commit_id: str | None = None
    msg: str = ""
    author: Author = Author()
    affected_paths: list[str] = []


class ChangeSet(JenkinsModel):
    items: list[ChangeItem] = []


class Build(JenkinsModel):
    number: int = 0
    queue_id: int | None = None
    result: str | None = None
    building: bool = False
    display_name: str | None = None
    description: str | None = None
    timestamp: int = 0
    duration: int = 0
    estimated_duration: int = 0
    url: str = ""
    actions: list[Action] = []
    change_set: ChangeSet | None = None
    change_sets: list[ChangeSet] = []

    @property
    def state(self) -> str:
        return "building" if self.building else self.result or "unknown"


class Task(JenkinsModel):
    name: str = ""
    url: str = ""


class QueueItem(JenkinsModel):
    id: int
    why: str | None = None
    blocked: bool = False
    buildable: bool = False
    stuck: bool = False
    cancelled: bool = False
    in_queue_since: int = 0
    executable: Build | None = None
    task: Task = Task()
    actions: list[Action] = []


class Queue(JenkinsModel):
    items: list[QueueItem] = []


class Job(JenkinsModel):
    name: str = ""
    full_name: str = ""
    url: str = ""
    color: str | None = None
    description: str | None = None
    buildable: bool = True
    in_queue: bool = False
    next_build_number: int | None = None
    queue_item: QueueItem | None = None
    last_build: Build | None = None
    builds: list[Build] = []
    jobs: list["Job"] | None = None
    properties: list[JobProperty] = Field(default=[], alias="property")

    @property
    def parameters(self) -> list[ParameterDefinition]:
        return [definition for each in self.properties for definition in each.parameter_definitions]


class RemoteConfig(JenkinsModel):
    url: str = ""


class Scm(JenkinsModel):
    user_remote_configs: list[RemoteConfig] = []


class ScmJob(JenkinsModel):
    scm: Scm | None = None
    actions: list[Action] = []
    last_build: Build | None = None


class Person(JenkinsModel):
    id: str | None = None
    name: str | None = None
    authorities: list[str] = []
    anonymous: bool = False
