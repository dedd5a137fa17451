"""What is true: records, state tables, policy, replies, grammar. No I/O, nothing but the standard library."""
