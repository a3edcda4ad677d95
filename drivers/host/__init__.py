"""A host without a hypervisor: what Linux itself tells of the machine, one fact a module."""
