"""The FTPS door: explicit TLS only, passive only; what is answered 226 is durable, what is cut is a partial."""
