"""One module per verb: each is a rule of the workflow and a subcommand, and only these know both sides of a step."""
