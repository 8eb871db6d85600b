"""Options that several commands share."""

import click

trust_bundle = click.option(
    "--trust-bundle", is_flag=True, help="Let the model that the protocol pins by bundle_sha256 run its code."
)
