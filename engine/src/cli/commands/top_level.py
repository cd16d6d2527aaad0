"""Command lines of the commands directly below `skyflo`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from src.cli.options import EXIT_CODES, AsJson, Insecure, Limit, Server

__all__ = ["add_commands"]

RunState = Literal["queued", "waiting", "running", "awaiting_approval", "completed", "failed", "stopped"]
Replaced = Literal["auto", "model", "cluster", "all", "none"]
EngineRole = Literal["all", "api", "worker"]
Host = Annotated[str | None, typer.Option(help="The address to listen on. Default: HOST, then 127.0.0.1.")]
Port = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="The port to listen on; 0 for any free one. Default: PORT, then 8080."),
]
Processes = Annotated[
    int | None,
    typer.Option(
        "--workers",
        "--processes",
        min=1,
        max=64,
        help="The number of processes behind the port. More than one needs POSTGRES_DATABASE_URL and REDIS_URL. "
        "Default: ENGINE_PROCESSES, then 1.",
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Register the commands in the order in which a new user needs them."""
    commands = (up, chat, runs, budgets, stop, doctor, login, logout, whoami, restored, support_bundle, api, worker)
    for command in commands:
        app.command(epilog=EXIT_CODES)(command)


def up(
    host: Host = None,
    port: Port = None,
    workers: Processes = None,
    sandbox: Annotated[
        Replaced | None, typer.Option(help="What the sandbox replaces; auto: what is missing. Default: SANDBOX.")
    ] = None,
    fresh_sandbox: Annotated[bool, typer.Option("--fresh-sandbox", help="Start with a new sandbox cluster.")] = False,
) -> None:
    """Start the engine on this machine with your model and cluster, or the sandbox for what is missing."""
    from src.cli.up import up as run

    raise typer.Exit(run(host, port, workers, sandbox, fresh_sandbox))


def chat(
    message: Annotated[
        str | None, typer.Argument(help="The message. Without it: read standard input, or prompt.", show_default=False)
    ] = None,
    conversation: Annotated[
        str | None, typer.Option("--conversation", metavar="ID", help="Continue this conversation.")
    ] = None,
    continue_last: Annotated[bool, typer.Option("--continue", help="Continue the last conversation.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Follow the active run of the last (or given) conversation.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON event per line on standard output. Never prompts.")
    ] = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Ask a question, watch the run, and decide on the changes that it proposes.

    The answer goes to standard output. Without a terminal, all other output goes to standard error, no question is
    asked, and the command ends where an approval is needed.

    Ctrl-C stops the run, a second Ctrl-C exits at once. At an approval prompt it leaves the change pending.
    """
    from src.cli.chat import ChatOptions
    from src.cli.chat import chat as run

    raise typer.Exit(run(ChatOptions(message, conversation, continue_last, resume, as_json, server, insecure)))


def budgets(as_json: AsJson = False, server: Server = None, insecure: Insecure = False) -> None:
    """List the budgets of tokens and money that apply to you, and how much of them is used."""
    from src.cli.budgets import budgets as run

    raise typer.Exit(run(as_json, server, insecure))


def stop(
    run: Annotated[
        str | None,
        typer.Argument(
            help="The id of the run. Without it: the active run of the last conversation.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Stop a run: no further tool call starts, and pending changes never run."""
    from src.cli.chat import stop as run_stop

    raise typer.Exit(run_stop(run, server, insecure, as_json))


def runs(
    state: Annotated[RunState | None, typer.Option(help="Only runs in this state.")] = None,
    conversation: Annotated[str | None, typer.Option(metavar="ID", help="Only runs of this conversation.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """List runs, newest first."""
    from src.cli.runs import runs as run

    raise typer.Exit(run(state, conversation, limit, as_json, server, insecure))


def doctor(
    as_json: AsJson = False,
    role: Annotated[
        EngineRole | None, typer.Option(help="Check for this part of the engine. Default: ENGINE_ROLE.")
    ] = None,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Check settings, data, model, cluster, tool servers and the engine, and print what to do.

    For an engine on another machine only its own health report is checked. Exit code 0 if it can be used, else 1.
    """
    from src.cli.doctor import doctor as run

    raise typer.Exit(run(as_json, role, server, insecure))


def login(
    email: Annotated[str | None, typer.Option(help="Your e-mail address. Without it: prompt.")] = None,
    register: Annotated[
        bool,
        typer.Option("--register", help="Create the first account, if there is none; its owner becomes the admin."),
    ] = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Sign in. The password is typed hidden or piped in. The engine becomes the default.

    Machines set SKYFLO_TOKEN instead.
    """
    from src.cli.accounts import login as run

    raise typer.Exit(run(email, register, server, insecure))


def logout(server: Server = None, insecure: Insecure = False) -> None:
    """End the session and delete its tokens."""
    from src.cli.accounts import logout as run

    raise typer.Exit(run(server, insecure))


def whoami(server: Server = None, insecure: Insecure = False) -> None:
    """Print the account and role that the engine sees."""
    from src.cli.accounts import whoami as run

    raise typer.Exit(run(server, insecure))


def restored(
    yes: Annotated[bool, typer.Option("--yes", help="Every engine that uses the database is stopped.")] = False,
) -> None:
    """Close what a database shows as open after it was restored from a backup. Run it before an engine starts.

    Works on the database itself, with the engine's settings. Ends every open approval and every run that has not
    ended, and marks changes that were under way as unknown.
    """
    from src.cli.restored import restored as run

    raise typer.Exit(run(yes))


def support_bundle(
    output: Annotated[
        Path | None, typer.Option(help="The file to write. Default: skyflo-support-<time>.tar.gz here.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A file with the engine's log, for its last lines.")
    ] = None,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Write an archive that helps to find a fault: versions, settings, checks, database. Run it on the engine's host.

    Secrets are masked. Of settings that are text it says only whether they are set.
    """
    from src.cli.support_bundle import support_bundle as run

    raise typer.Exit(run(output, log, server, insecure))


def api(host: Host = None, port: Port = None, workers: Processes = None) -> None:
    """Serve HTTP without executing runs: messages, streams, approvals and the page. Workers execute the runs.

    Needs POSTGRES_DATABASE_URL and REDIS_URL, the same as the workers.
    """
    from src.cli.up import run_part

    raise typer.Exit(run_part("api", host, port, workers))


def worker(host: Host = None, port: Port = None, workers: Processes = None) -> None:
    """Execute runs without serving people. Only the health check is served over HTTP.

    Needs POSTGRES_DATABASE_URL and REDIS_URL, the same as `skyflo api`. Start as many as there is work for.
    """
    from src.cli.up import run_part

    raise typer.Exit(run_part("worker", host, port, workers))
