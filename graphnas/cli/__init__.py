"""The `graphnas` command. Modules here import typer and rich only; everything else is imported inside commands."""
