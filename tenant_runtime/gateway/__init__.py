"""The only way out of an agent: tools are called here, checked, timed, logged and metered, or not at all."""
