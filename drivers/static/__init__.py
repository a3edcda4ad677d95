"""Provider trees written down by an operator, in YAML or JSON documents."""
