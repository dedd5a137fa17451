/* wire: what both load clients share. A TCP connection that speaks in lines, in the clear or under TLS, and the little
 * arithmetic of a measurement. Blocking, one thread a connection. Test use only: certificates are not checked. */
#ifndef WIRE_H
#define WIRE_H

#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stddef.h>

typedef struct {
    int fd; /* -1: closed */
    SSL *ssl; /* NULL: in the clear */
    SSL_SESSION *session; /* the newest ticket of this connection; a data connection resumes it */
    char buffer[8192]; /* what came and was not looked at yet */
    size_t filled;
    char reply[1024]; /* the last line of the last reply */
} wire;

extern const char *wire_host; /* an IPv4 address */
extern atomic_long wire_errors; /* how often complain() was called */

/* Call once, before any thread: a client context for TLS up to 1.2 or 1.3 that keeps every connection's tickets. */
SSL_CTX *wire_setup(int tls_version);

int wire_connect(wire *w, int port); /* 0, or -1 */
int wire_start_tls(wire *w, SSL_CTX *context, const wire *resume); /* resume: take that connection's session, or NULL */
int wire_write(wire *w, const void *bytes, size_t count); /* all of them: 0, or -1 */
int wire_reply(wire *w); /* the code of the next reply (several lines count as one), or -1 */
int wire_command(wire *w, const char *format, ...) __attribute__((format(printf, 2, 3))); /* send, then wire_reply */
void wire_close(wire *w); /* at once, without a goodbye; harmless on a closed one */

void complain(const char *format, ...) __attribute__((format(printf, 1, 2))); /* counts; prints the first five */

double now(void); /* seconds, monotonic */
double cpu_seconds(void); /* of this process */
long long size_in_bytes(const char *text); /* "64K", "256M", "1G" */
void fill_with_noise(char *bytes, size_t count); /* the same noise every time */

/* Times that were taken, by any number of threads. */
typedef struct {
    double *values; /* seconds */
    long capacity;
    atomic_long count;
} samples;

samples samples_for(long capacity);
void sample(samples *s, double seconds); /* what exceeds the capacity is left out */
double percentile_ms(samples *s, double part); /* of a finished measurement; sorts it; 0 where there are none */

#endif
