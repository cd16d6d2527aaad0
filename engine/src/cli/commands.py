"""What can be typed after `skyflo`: each command's words, and where its work is done."""

from typing import Annotated, Literal

import typer

from src.cli.options import EXIT_CODES, AsJson, Insecure, Limit, Server

__all__ = ["add_to"]

RunState = Literal["queued", "waiting", "running", "awaiting_approval", "completed", "failed", "stopped"]
Replaced = Literal["auto", "model", "cluster", "all", "none"]


def add_to(app: typer.Typer) -> None:
    """In the order in which one meets them."""
    for command in (up, chat, runs, stop, doctor, login, logout, whoami):
        app.command(epilog=EXIT_CODES)(command)


def up(
    host: Annotated[str | None, typer.Option(help="The address to listen on; else HOST, else 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Else PORT, else 8080; 0: any free one.")] = None,
    sandbox: Annotated[
        Replaced | None, typer.Option(help="What the sandbox replaces; auto: whatever is missing. Else SANDBOX.")
    ] = None,
    fresh_sandbox: Annotated[bool, typer.Option("--fresh-sandbox", help="Begin with a new sandbox cluster.")] = False,
) -> None:
    """Start the engine on this machine: your own model and cluster, or the sandbox for what is missing."""
    from src.cli.up import up as run

    raise typer.Exit(run(host, port, sandbox, fresh_sandbox))


def chat(
    message: Annotated[
        str | None, typer.Argument(help="What to ask. Without it: standard input, or a prompt.", show_default=False)
    ] = None,
    conversation: Annotated[
        str | None, typer.Option("--conversation", metavar="ID", help="Go on in this conversation.")
    ] = None,
    go_on: Annotated[bool, typer.Option("--continue", help="Go on in the last conversation.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Come back to the run of the last (or given) conversation.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One event per line on standard output. Never asks anything.")
    ] = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Ask, watch it work, and decide on the changes that it proposes.

    The answer goes to standard output; without a terminal, what is said about it goes to standard error, nothing is
    asked, and it ends where an approval is needed.

    Ctrl-C stops the run, a second one leaves at once; at a question it leaves the change waiting.
    """
    from src.cli.chat import Wanted
    from src.cli.chat import chat as run

    raise typer.Exit(run(Wanted(message, conversation, go_on, resume, as_json, server, insecure)))


def stop(
    run: Annotated[
        str | None, typer.Argument(help="The run's id. Without it: that of the last conversation.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Stop a run: no new tool starts, and what waits for approval never runs."""
    from src.cli.chat import stop as run_stop

    raise typer.Exit(run_stop(run, server, insecure, as_json))


def runs(
    state: Annotated[RunState | None, typer.Option(help="Only those in this state.")] = None,
    conversation: Annotated[str | None, typer.Option(metavar="ID", help="Only those of this conversation.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """List runs, newest first."""
    from src.cli.runs import runs as run

    raise typer.Exit(run(state, conversation, limit, as_json, server, insecure))


def doctor(as_json: AsJson = False, server: Server = None, insecure: Insecure = False) -> None:
    """Check settings, data, model, cluster, tool servers and the engine, and say what to do.

    Of an engine on another machine only what it says itself. Exit code 0 when all can be used, else 1.
    """
    from src.cli.doctor import doctor as run

    raise typer.Exit(run(as_json, server, insecure))


def login(
    email: Annotated[str | None, typer.Option(help="Your address; else it is asked for.")] = None,
    register: Annotated[
        bool, typer.Option("--register", help="Make the first account, where there is none; its owner is the admin.")
    ] = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Sign in. The password is typed hidden, or piped in. From then on this engine is meant when none is named.

    A machine has its token in SKYFLO_TOKEN instead.
    """
    from src.cli.accounts import login as run

    raise typer.Exit(run(email, register, server, insecure))


def logout(server: Server = None, insecure: Insecure = False) -> None:
    """End the session and forget its tokens."""
    from src.cli.accounts import logout as run

    raise typer.Exit(run(server, insecure))


def whoami(server: Server = None, insecure: Insecure = False) -> None:
    """Say who you are to the engine."""
    from src.cli.accounts import whoami as run

    raise typer.Exit(run(server, insecure))
