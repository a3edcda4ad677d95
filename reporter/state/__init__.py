"""What is kept between cycles: the identity of nodes, the ledger of what we set, and the last snapshot."""
