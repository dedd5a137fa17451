/* smtpload: sessions of a mail client, one blocking thread each. Prints one JSON line.
 *
 *   smtpload [-h ADDRESS] [-p PORT] [-f FROM] [-t TO] [-S SUBJECT] [-T] [-k] -c SESSIONS -n COUNT -s SIZE [-i IDLE]
 *
 *   -n COUNT -s SIZE   so many messages with a body of that size, in lines of 76 characters, over SESSIONS sessions
 *   -T                 under STARTTLS
 *   -k                 sessions are kept for many messages; else a connection a message
 *   -i IDLE            so many more sessions that have said EHLO and stay silent meanwhile
 *
 * A message counts when the 250 after its end of data has come. */
#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 76, HEADER = 1024 };

static const char *from = "a@example.com", *to = "b@example.net", *subject = "load";
static int port = 2525, sessions = 1, with_tls, keep, idle;
static long count = 1;
static size_t size = 4096;

static SSL_CTX *context;
static char *body; /* what every message ends with, the lone dot included */
static size_t body_length;
static pthread_barrier_t start;
static atomic_long next_message, messages;
static samples latency;
static char protocol[80] = "in the clear";
static pthread_mutex_t protocol_mutex = PTHREAD_MUTEX_INITIALIZER;

static int smtp_open(wire *w)
{
    const char *step = "connect";

    if (wire_connect(w, port) != 0)
        strcpy(w->reply, strerror(errno));
    else if (step = "greeting", wire_reply(w) != 220)
        ;
    else if (step = "EHLO", wire_command(w, "EHLO load.example.com") != 250)
        ;
    else if (!with_tls)
        return 0;
    else if (step = "STARTTLS", wire_command(w, "STARTTLS") != 220)
        ;
    else if (step = "TLS handshake", wire_start_tls(w, context, NULL) != 0)
        ;
    else if (step = "EHLO under TLS", wire_command(w, "EHLO load.example.com") != 250)
        ;
    else {
        pthread_mutex_lock(&protocol_mutex);
        snprintf(protocol, sizeof protocol, "%s %s", SSL_get_version(w->ssl), SSL_get_cipher(w->ssl));
        pthread_mutex_unlock(&protocol_mutex);
        return 0;
    }
    complain("%s: %s", step, w->reply);
    wire_close(w);
    return -1;
}

static void smtp_quit(wire *w)
{
    if (wire_command(w, "QUIT") == 221 && w->ssl != NULL)
        SSL_shutdown(w->ssl);
    wire_close(w);
}

/* Header and a small body leave in one write, as mail programs do it. */
static int write_message(wire *w, long number)
{
    char header[HEADER];
    int length = snprintf(header, sizeof header,
                          "From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n"
                          "Message-ID: <%lx.%d.%lx@load.example.com>\r\n\r\nmessage %ld\r\n",
                          from, to, subject, number, (int)getpid(), (long)(now() * 1e6), number);

    if (body_length > 1 << 16)
        return wire_write(w, header, length) || wire_write(w, body, body_length);
    char whole[HEADER + (1 << 16)];
    memcpy(whole, header, length);
    memcpy(whole + length, body, body_length);
    return wire_write(w, whole, length + body_length);
}

static int smtp_send(wire *w, long number)
{
    const char *step = "MAIL";

    if (wire_command(w, "MAIL FROM:<%s>", from) != 250)
        ;
    else if (step = "RCPT", wire_command(w, "RCPT TO:<%s>", to) != 250)
        ;
    else if (step = "DATA", wire_command(w, "DATA") != 354)
        ;
    else if (step = "end of data", write_message(w, number) != 0 || wire_reply(w) != 250)
        ;
    else
        return 0;
    complain("%s: %s", step, w->reply);
    return -1;
}

static void *sending(void *unused)
{
    wire w = {.fd = -1};

    (void)unused;
    pthread_barrier_wait(&start);
    for (long number; (number = atomic_fetch_add(&next_message, 1)) < count;) {
        double begun = now();
        if (w.fd < 0 && smtp_open(&w) != 0)
            continue;
        if (smtp_send(&w, number) == 0)
            atomic_fetch_add(&messages, 1);
        else
            wire_close(&w);
        sample(&latency, now() - begun);
        if (w.fd >= 0 && !keep)
            smtp_quit(&w);
    }
    if (w.fd >= 0)
        smtp_quit(&w);
    return NULL;
}

static void make_body(void)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *next = body = malloc(size + 2 * (size / LINE + 1) + 16);
    unsigned state = 1;

    for (size_t i = 0; i < size; i++) {
        state = state * 1103515245u + 12345u;
        *next++ = letters[(state >> 16) & 63];
        if (i % LINE == LINE - 1) {
            *next++ = '\r';
            *next++ = '\n';
        }
    }
    memcpy(next, "\r\n.\r\n", 5);
    body_length = next + 5 - body;
}

int main(int argc, char **argv)
{
    for (int option; (option = getopt(argc, argv, "h:p:c:n:s:f:t:S:i:Tk")) != -1;)
        switch (option) {
        case 'h': wire_host = optarg; break;
        case 'p': port = atoi(optarg); break;
        case 'c': sessions = atoi(optarg); break;
        case 'n': count = atol(optarg); break;
        case 's': size = size_in_bytes(optarg); break;
        case 'f': from = optarg; break;
        case 't': to = optarg; break;
        case 'S': subject = optarg; break;
        case 'i': idle = atoi(optarg); break;
        case 'T': with_tls = 1; break;
        case 'k': keep = 1; break;
        default: return 2;
        }
    context = wire_setup(13);
    make_body();
    latency = samples_for(count);

    wire *silent = calloc(idle + 1, sizeof *silent);
    int open = 0;
    while (open < idle && smtp_open(&silent[open]) == 0)
        open++;

    pthread_t threads[sessions];
    pthread_barrier_init(&start, NULL, sessions + 1);
    for (int i = 0; i < sessions; i++)
        pthread_create(&threads[i], NULL, sending, NULL);
    double begun = now(), cpu = cpu_seconds();
    pthread_barrier_wait(&start);
    for (int i = 0; i < sessions; i++)
        pthread_join(threads[i], NULL);
    double seconds = now() - begun;

    printf("{\"seconds\": %.4f, \"messages\": %ld, \"errors\": %ld, \"per_s\": %.1f, \"MBps\": %.2f, \"p50_ms\": %.2f, "
           "\"p95_ms\": %.2f, \"idle\": %d, \"protocol\": \"%s\", \"client_cpu_s\": %.3f}\n",
           seconds, messages, wire_errors, messages / seconds, messages * (double)body_length / seconds / 1e6,
           percentile_ms(&latency, 0.5), percentile_ms(&latency, 0.95), open, protocol, cpu_seconds() - cpu);
    while (open > 0)
        wire_close(&silent[--open]);
    return wire_errors ? 1 : 0;
}
