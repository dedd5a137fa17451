"""The mail door: SMTP in, updates to existing Service Requests filed under them.

    listener   accepts connections, counts them, holds what all sessions share
    connection one peer's connection: its life, its time-out, and the bytes that we say (aiosmtpd's class)
    session    the dialogue over it: a table of verbs and when each is allowed
    stream     the peer's bytes as they come: command lines, or whole blocks of a message
    data       what DATA means on the wire: end of data, dot-stuffing, bare CR and LF
    letter     one message on its way in: small ones in memory, larger ones into the spool, in blocks
    facts      end of data: what is known of a message
    filing     the policy's decision, the commit, the reply
    failures   what our own code failed over, so that it is held the second time
    door       the process: builds all of this, serves, drains

Rules: nothing is answered 250 before it is durable; nothing is refused but in the dialogue; no bounce is ever made.
A crash leaves at most a spool file that no row names (``gateway doctor`` finds it) and a sender who will come again.
"""
