"""A look inside what strangers sent: archives and mail parts, in workers that can be killed.

Rules: nothing here writes to the spool or the store; a look returns facts, and its caller records them. Whatever
parses a stranger's bytes runs as a task of a `worker.Crew`, under limits.
"""
