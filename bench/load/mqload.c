/*
 * mqload - a small, cheap MQTT load generator (publishers, subscribers,
 * connect storms) for one Linux machine.  One thread, epoll, no MQTT library.
 *
 * build.sh compiles it; README.md has the options and how to measure.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifndef NO_TLS
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#endif

/* ------------------------------------------------------------------ time */

static uint64_t mono_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static int64_t real_off; /* CLOCK_REALTIME - CLOCK_MONOTONIC, microseconds */

static void clock_sync(void)
{
	struct timespec r;
	uint64_t m = mono_us();
	clock_gettime(CLOCK_REALTIME, &r);
	real_off = (int64_t)((uint64_t)r.tv_sec * 1000000u + (uint64_t)r.tv_nsec / 1000u) - (int64_t)m;
}

static void die(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fputs("mqload: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(2);
}

static void *xalloc(size_t n)
{
	void *p = calloc(1, n ? n : 1);
	if (!p)
		die("out of memory");
	return p;
}

/* ------------------------------------------------------------- histogram */
/* log-linear: 32 steps per power of two (3 % resolution), microseconds     */

#define H_SUB 5
#define H_N ((64 - H_SUB) << H_SUB)
typedef struct {
	uint64_t b[H_N], n, sum, max, min;
} hist;

static void h_reset(hist *h)
{
	memset(h, 0, sizeof *h);
	h->min = UINT64_MAX;
}

static void h_add(hist *h, uint64_t v)
{
	unsigned i;
	if (v < (1u << H_SUB)) {
		i = (unsigned)v;
	} else {
		unsigned e = 63 - (unsigned)__builtin_clzll(v);
		i = ((e - H_SUB + 1) << H_SUB) + (unsigned)((v >> (e - H_SUB)) & ((1u << H_SUB) - 1));
	}
	if (i >= H_N)
		i = H_N - 1;
	h->b[i]++;
	h->n++;
	h->sum += v;
	if (v > h->max)
		h->max = v;
	if (v < h->min)
		h->min = v;
}

static uint64_t h_q(const hist *h, double q)
{
	uint64_t want = (uint64_t)(q * (double)h->n), c = 0;
	if (!h->n)
		return 0;
	for (unsigned i = 0; i < H_N; i++) {
		c += h->b[i];
		if (c > want || c == h->n) {
			uint64_t v;
			if (i < (1u << H_SUB)) {
				v = i;
			} else {
				unsigned e = (i >> H_SUB) + H_SUB - 1;
				v = (1ull << e) + ((uint64_t)(i & ((1u << H_SUB) - 1)) << (e - H_SUB));
				v += (1ull << (e - H_SUB)) / 2;
			}
			return v > h->max ? h->max : v;
		}
	}
	return h->max;
}

/* --------------------------------------------------------------- options */

enum { M_PUB, M_SUB, M_CONN };
static struct {
	int mode, port, conns, qos, ver, tls, ws, resume, verify, keepalive, churn, clean;
	int par, window, size, tenants, srcs, quiet, ring, retain;
	double rate, dur, warm, drain, hold, idle;
	uint64_t count;
	const char *host, *topic, *tmpl, *ids, *cafile, *cert, *key, *user, *pass, *cid, *filter;
	const char *tenant, *device, *label, *wspath, *ciphers, *tlsmax, *groups;
	char *watch;
} O = {
	.port = 0, .conns = 1, .qos = 0, .ver = 4, .verify = 1, .keepalive = 300, .clean = 1,
	.par = 64, .window = 16, .size = 128, .tenants = 10, .dur = 5, .warm = 1, .drain = 10,
	.idle = 3, .host = "127.0.0.1", .topic = "tenant/%t/device/%d/telemetry",
	.tenant = "tenant-%02d", .device = "dev-%05d", .wspath = "/mqtt",
};

static const char TELEMETRY[] =
	"{\"ts\":\"%z\",\"site_id\":\"site-1\",\"seq\":%n,\"t0\":%u,\"metrics\":"
	"{\"temp_c\":%f,\"humidity_pct\":%f,\"battery_v\":%f,\"rssi_dbm\":-%i,\"uptime_s\":%n}}";

/* ----------------------------------------------------------- connections */

enum { S_NEW, S_TCP, S_TLS, S_WS, S_CONNACK, S_SUBACK, S_RUN, S_DEAD };
enum { PINGS = 16 };

typedef struct conn {
	int fd, idx;
	uint8_t st, slow, polled, wshdr, wshlen, reused;
	uint32_t ev;
	uint8_t *ob;
	uint32_t ocap, olen, ooff;
	uint8_t *ib;
	uint32_t ilen;
	uint8_t wsh[14];
	uint64_t wsleft;
	uint64_t seq;              /* messages written so far                     */
	uint32_t inflight;         /* QoS1: not acked; QoS0: not confirmed by ping */
	uint32_t window;
	uint64_t *slot;            /* QoS1: send time per packet id, 0 = free      */
	struct { uint64_t t; uint32_t n; } ping[PINGS];
	uint32_t pgh, pgn, unpinged;
	uint64_t t_open, last_out;
	char *tenant, *device, *topic;
	uint16_t topiclen;
	char *cert, *key;
#ifndef NO_TLS
	SSL *ssl;
	SSL_SESSION *sess;
	X509 *x509;
	EVP_PKEY *pkey;
#endif
} conn;

static conn *C;
static int ep, n_ready, n_pending, n_next, n_dead;
static volatile sig_atomic_t stop_sig;
static uint64_t t_run;             /* start of sending                         */
static bool running, measuring, sending;
static hist H, HC;
static uint64_t m_acked, m_sent, m_rcvd, m_bytes;        /* measuring window   */
static uint64_t a_acked, a_sent, a_rcvd, a_dup, a_nack;  /* whole run          */
static uint64_t errs, disc, ws_skip, conns_done, resumed, gsched;
static uint64_t t_first_rx, t_last_rx, t_last_ack, next_churn_id;
static char first_err[160];

#define RB (1 << 18)
#define WB (1 << 18)
static uint8_t rbuf[RB + 65536], wbuf[WB + 65536 * 5];
static uint32_t wlen;

static void note_err(const char *fmt, ...)
{
	va_list ap;
	errs++;
	if (first_err[0])
		return;
	va_start(ap, fmt);
	vsnprintf(first_err, sizeof first_err, fmt, ap);
	va_end(ap);
	for (char *p = first_err; *p; p++)
		if (*p == '"' || *p == '\\' || (unsigned char)*p < 32)
			*p = ' ';
}

static char *expand(const char *t, const conn *c)
{
	size_t cap = strlen(t) + 256 + strlen(c->tenant) * 4 + strlen(c->device) * 4, n = 0;
	char *o = xalloc(cap);
	for (; *t && n + 128 < cap; t++) {
		if (*t != '%') {
			o[n++] = *t;
			continue;
		}
		switch (*++t) {
		case 't': n += (size_t)sprintf(o + n, "%s", c->tenant); break;
		case 'd': n += (size_t)sprintf(o + n, "%s", c->device); break;
		case 'c': n += (size_t)sprintf(o + n, "%d", c->idx); break;
		case 'p': n += (size_t)sprintf(o + n, "%d", (int)getpid()); break;
		case '%': o[n++] = '%'; break;
		case 0: t--; break;
		default: o[n++] = '%'; o[n++] = *t;
		}
	}
	return o;
}

/* ------------------------------------------------------ payload template */

typedef struct { char op; const char *s; uint32_t n; } tok;
static tok *T;
static int nT;
static char *filler;
static uint32_t rng = 2463534242u;

static uint32_t rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 17;
	rng ^= rng << 5;
	return rng;
}

static void tmpl_compile(const char *s)
{
	T = xalloc(sizeof *T * (strlen(s) + 2));
	while (*s) {
		const char *q = s;
		while (*q && *q != '%')
			q++;
		if (q > s)
			T[nT++] = (tok){ 0, s, (uint32_t)(q - s) };
		if (!*q)
			break;
		if (q[1] == '%')
			T[nT++] = (tok){ 0, q, 1 };
		else if (strchr("ndtcuzmfiN", q[1]) && q[1])
			T[nT++] = (tok){ q[1], NULL, 0 };
		else
			die("unknown %%%c in payload template (n N d t c u m z f i %%)", q[1]);
		s = q + 2;
	}
}

static inline uint32_t put_u64(uint8_t *o, uint64_t v)
{
	char b[24];
	int i = 24;
	do {
		b[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	memcpy(o, b + i, (size_t)(24 - i));
	return (uint32_t)(24 - i);
}

static uint32_t put_iso(uint8_t *o, uint64_t us)
{
	static uint64_t last;
	static char s[80];
	uint64_t ms = us / 1000;
	if (ms != last) {
		time_t sec = (time_t)(ms / 1000);
		struct tm tm;
		gmtime_r(&sec, &tm);
		snprintf(s, sizeof s, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
			 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms % 1000));
		last = ms;
	}
	memcpy(o, s, 24);
	return 24;
}

static uint32_t render(uint8_t *o, const conn *c, uint64_t real)
{
	uint8_t *p = o;
	if (!T) { /* -s SIZE: 16 digits of time, then filler */
		uint8_t d[24];
		uint32_t n = put_u64(d, real), k = (uint32_t)O.size;
		memcpy(p, filler, k);
		memcpy(p, d, n < k ? n : k);
		return k;
	}
	for (int i = 0; i < nT; i++) {
		const tok *k = &T[i];
		size_t l;
		switch (k->op) {
		case 0: memcpy(p, k->s, k->n); p += k->n; break;
		case 'n': p += put_u64(p, c->seq); break;
		case 'N': p += put_u64(p, a_sent); break;
		case 'd': l = strlen(c->device); memcpy(p, c->device, l); p += l; break;
		case 't': l = strlen(c->tenant); memcpy(p, c->tenant, l); p += l; break;
		case 'c': p += put_u64(p, (uint64_t)c->idx); break;
		case 'u': p += put_u64(p, real); break;
		case 'm': p += put_u64(p, real / 1000); break;
		case 'z': p += put_iso(p, real); break;
		case 'i': p += put_u64(p, rnd() % 100); break;
		case 'f': {
			uint32_t r = rnd() % 10000;
			p += put_u64(p, r / 100);
			*p++ = '.';
			*p++ = (uint8_t)('0' + r / 10 % 10);
			*p++ = (uint8_t)('0' + r % 10);
			break;
		}
		}
	}
	return (uint32_t)(p - o);
}

/* -------------------------------------------------------------- encoding */

static uint8_t *put_len(uint8_t *p, uint32_t v)
{
	do {
		uint8_t b = v & 127;
		v >>= 7;
		*p++ = v ? (b | 128) : b;
	} while (v);
	return p;
}

static uint8_t *put_str(uint8_t *p, const char *s, size_t n)
{
	*p++ = (uint8_t)(n >> 8);
	*p++ = (uint8_t)n;
	memcpy(p, s, n);
	return p + n;
}

static void w_byte2(uint8_t a, uint8_t b)
{
	wbuf[wlen++] = a;
	wbuf[wlen++] = b;
}

static void w_puback(uint16_t pid)
{
	uint8_t *p = wbuf + wlen;
	p[0] = 0x40;
	p[1] = 2;
	p[2] = (uint8_t)(pid >> 8);
	p[3] = (uint8_t)pid;
	wlen += 4;
}

static void w_connect(conn *c)
{
	uint8_t b[2048], *p = b;
	char *id, *u = NULL, *pw = NULL;
	uint8_t fl = O.clean ? 2 : 0;
	if (O.churn) {
		id = xalloc(64);
		snprintf(id, 64, "mqload-%d-%" PRIu64, (int)getpid(), next_churn_id++);
	} else {
		id = expand(O.cid ? O.cid : "mqload-%p-%c", c);
	}
	if (O.user) {
		u = expand(O.user, c);
		fl |= 128;
	}
	if (O.pass) {
		pw = expand(O.pass, c);
		fl |= 64;
	}
	if (strlen(id) + (u ? strlen(u) : 0) + (pw ? strlen(pw) : 0) > 1900)
		die("client id, user and password too long");
	p = put_str(p, "MQTT", 4);
	*p++ = (uint8_t)O.ver;
	*p++ = fl;
	*p++ = (uint8_t)(O.keepalive >> 8);
	*p++ = (uint8_t)O.keepalive;
	if (O.ver == 5)
		*p++ = 0;
	p = put_str(p, id, strlen(id));
	if (u)
		p = put_str(p, u, strlen(u));
	if (pw)
		p = put_str(p, pw, strlen(pw));
	wbuf[wlen++] = 0x10;
	wlen = (uint32_t)(put_len(wbuf + wlen, (uint32_t)(p - b)) - wbuf);
	memcpy(wbuf + wlen, b, (size_t)(p - b));
	wlen += (uint32_t)(p - b);
	free(id);
	free(u);
	free(pw);
}

static void w_subscribe(conn *c)
{
	uint8_t b[2048], *p = b;
	char *f = expand(O.filter ? O.filter : O.topic, c);
	if (strlen(f) > 1900)
		die("topic filter too long");
	*p++ = 0;
	*p++ = 1;
	if (O.ver == 5)
		*p++ = 0;
	p = put_str(p, f, strlen(f));
	*p++ = (uint8_t)O.qos;
	free(f);
	wbuf[wlen++] = 0x82;
	wlen = (uint32_t)(put_len(wbuf + wlen, (uint32_t)(p - b)) - wbuf);
	memcpy(wbuf + wlen, b, (size_t)(p - b));
	wlen += (uint32_t)(p - b);
}

static void w_publish(conn *c, uint16_t pid, uint64_t t)
{
	static uint8_t pay[65536 * 2];
	uint32_t n = render(pay, c, (uint64_t)((int64_t)t + real_off));
	uint32_t rl = 2u + c->topiclen + (O.qos ? 2u : 0u) + (O.ver == 5 ? 1u : 0u) + n;
	uint8_t *p = wbuf + wlen;
	*p++ = (uint8_t)(0x30 | O.qos << 1 | O.retain);
	p = put_len(p, rl);
	p = put_str(p, c->topic, c->topiclen);
	if (O.qos) {
		*p++ = (uint8_t)(pid >> 8);
		*p++ = (uint8_t)pid;
	}
	if (O.ver == 5)
		*p++ = 0;
	memcpy(p, pay, n);
	p += n;
	m_bytes += (uint64_t)(p - (wbuf + wlen));
	wlen = (uint32_t)(p - wbuf);
}

/* -------------------------------------------------------------- transport */

static void conn_fail(conn *c, const char *why);

static void want(conn *c, uint32_t ev)
{
	struct epoll_event e = { .events = ev, .data.ptr = c };
	if (c->polled && c->ev == ev)
		return;
	if (epoll_ctl(ep, c->polled ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &e) < 0)
		die("epoll_ctl: %s", strerror(errno));
	c->polled = 1;
	c->ev = ev;
}

/* >0 bytes, 0 would block, -1 closed or failed */
static ssize_t raw_write(conn *c, const uint8_t *b, size_t n)
{
#ifndef NO_TLS
	if (c->ssl) {
		size_t done;
		ERR_clear_error();
		if (SSL_write_ex(c->ssl, b, n, &done) > 0)
			return (ssize_t)done;
		int e = SSL_get_error(c->ssl, 0);
		return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0 : -1;
	}
#endif
	ssize_t r = send(c->fd, b, n, MSG_NOSIGNAL);
	if (r >= 0)
		return r;
	return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static ssize_t raw_read(conn *c, uint8_t *b, size_t n)
{
#ifndef NO_TLS
	if (c->ssl) {
		size_t done;
		ERR_clear_error();
		if (SSL_read_ex(c->ssl, b, n, &done) > 0)
			return (ssize_t)done;
		int e = SSL_get_error(c->ssl, 0);
		return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0 : -1;
	}
#endif
	ssize_t r = recv(c->fd, b, n, 0);
	if (r > 0)
		return r;
	if (r == 0)
		return -1;
	return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static void ob_add(conn *c, const uint8_t *b, size_t n)
{
	if (c->ooff == c->olen)
		c->ooff = c->olen = 0;
	if (c->olen + n > c->ocap) {
		uint32_t cap = (uint32_t)((c->olen + n) * 2);
		c->ob = realloc(c->ob, cap);
		if (!c->ob)
			die("out of memory");
		c->ocap = cap;
	}
	memcpy(c->ob + c->olen, b, n);
	c->olen += (uint32_t)n;
}

static bool ob_flush(conn *c)
{
	while (c->ooff < c->olen) {
		ssize_t r = raw_write(c, c->ob + c->ooff, c->olen - c->ooff);
		if (r < 0) {
			conn_fail(c, "write failed");
			return false;
		}
		if (r == 0) {
			want(c, EPOLLIN | EPOLLOUT);
			return true;
		}
		c->ooff += (uint32_t)r;
	}
	c->ooff = c->olen = 0;
	want(c, EPOLLIN);
	return true;
}

/* hand the packets gathered in wbuf to the connection */
static bool commit(conn *c)
{
	uint8_t *b = wbuf;
	uint32_t n = wlen, off = 0;
	wlen = 0;
	if (!n)
		return true;
	c->last_out = mono_us();
	if (O.ws) { /* one binary frame, masked with the key 0 */
		uint8_t h[14];
		int k = 0;
		h[k++] = 0x82;
		if (n < 126) {
			h[k++] = (uint8_t)(0x80 | n);
		} else if (n < 65536) {
			h[k++] = 0x80 | 126;
			h[k++] = (uint8_t)(n >> 8);
			h[k++] = (uint8_t)n;
		} else {
			h[k++] = 0x80 | 127;
			for (int i = 7; i >= 0; i--)
				h[k++] = (uint8_t)((uint64_t)n >> (8 * i));
		}
		memset(h + k, 0, 4);
		ob_add(c, h, (size_t)k + 4);
		ob_add(c, b, n);
		return ob_flush(c);
	}
	if (c->ooff < c->olen) {
		ob_add(c, b, n);
		return true;
	}
	while (off < n) {
		ssize_t r = raw_write(c, b + off, n - off);
		if (r < 0) {
			conn_fail(c, "write failed");
			return false;
		}
		if (r == 0) {
			ob_add(c, b + off, n - off);
			want(c, EPOLLIN | EPOLLOUT);
			return true;
		}
		off += (uint32_t)r;
	}
	return true;
}

/* ------------------------------------------------------------------- TLS */

#ifndef NO_TLS
static SSL_CTX *tctx;
static int cx_idx;

static int on_session(SSL *s, SSL_SESSION *n)
{
	conn *c = SSL_get_ex_data(s, cx_idx);
	if (!c)
		return 0;
	if (c->sess)
		SSL_SESSION_free(c->sess);
	c->sess = n;
	return 1;
}

static void tls_init(void)
{
	tctx = SSL_CTX_new(TLS_client_method());
	if (!tctx)
		die("SSL_CTX_new failed");
	SSL_CTX_set_mode(tctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				       SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(tctx, 1);
	if (O.tlsmax && !strcmp(O.tlsmax, "1.2"))
		SSL_CTX_set_max_proto_version(tctx, TLS1_2_VERSION);
	if (O.tlsmax && !strcmp(O.tlsmax, "1.3"))
		SSL_CTX_set_min_proto_version(tctx, TLS1_3_VERSION);
	if (O.ciphers && !SSL_CTX_set_cipher_list(tctx, O.ciphers) && !SSL_CTX_set_ciphersuites(tctx, O.ciphers))
		die("bad --ciphers");
	if (O.groups && !SSL_CTX_set1_groups_list(tctx, O.groups))
		die("bad --groups");
	if (O.cafile) {
		if (!SSL_CTX_load_verify_locations(tctx, O.cafile, NULL))
			die("cannot load --cafile %s", O.cafile);
		SSL_CTX_set_verify(tctx, O.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	}
	if (O.cert && !strchr(O.cert, '%')) {
		if (SSL_CTX_use_certificate_chain_file(tctx, O.cert) != 1)
			die("cannot load --cert %s", O.cert);
		if (SSL_CTX_use_PrivateKey_file(tctx, O.key ? O.key : O.cert, SSL_FILETYPE_PEM) != 1)
			die("cannot load --key");
	}
	cx_idx = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	if (O.resume) {
		SSL_CTX_set_session_cache_mode(tctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(tctx, on_session);
	} else {
		SSL_CTX_set_session_cache_mode(tctx, SSL_SESS_CACHE_OFF);
	}
}

/* per connection certificates are read once, before the clock starts */
static void tls_load(conn *c)
{
	const char *kf = c->key ? c->key : c->cert;
	FILE *f;
	if (!c->cert)
		return;
	if (!(f = fopen(c->cert, "r")) || !(c->x509 = PEM_read_X509(f, NULL, NULL, NULL)))
		die("cannot load certificate %s", c->cert);
	fclose(f);
	if (!(f = fopen(kf, "r")) || !(c->pkey = PEM_read_PrivateKey(f, NULL, NULL, NULL)))
		die("cannot load key %s", kf);
	fclose(f);
}

static void tls_attach(conn *c)
{
	c->ssl = SSL_new(tctx);
	if (!c->ssl)
		die("SSL_new failed");
	if (c->x509 && (SSL_use_certificate(c->ssl, c->x509) != 1 || SSL_use_PrivateKey(c->ssl, c->pkey) != 1))
		die("certificate and key of %s do not fit", c->cert);
	SSL_set_ex_data(c->ssl, cx_idx, c);
	SSL_set_fd(c->ssl, c->fd);
	SSL_set_connect_state(c->ssl);
	if (O.resume && c->sess) { /* a copy: TLS 1.3 marks a used session as spent */
		SSL_SESSION *d = SSL_SESSION_dup(c->sess);
		SSL_set_session(c->ssl, d);
		SSL_SESSION_free(d);
	}
}
#endif

/* ------------------------------------------------------ opening, closing */

static struct sockaddr_in dst;
static uint32_t srcn;

static void conn_close(conn *c, bool polite)
{
	(void)polite;
#ifndef NO_TLS
	if (c->ssl) {
		if (polite)
			SSL_shutdown(c->ssl);
		else
			SSL_set_quiet_shutdown(c->ssl, 1);
		SSL_set_ex_data(c->ssl, cx_idx, NULL);
		SSL_free(c->ssl);
		c->ssl = NULL;
	}
#endif
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->polled = 0;
	free(c->ib);
	c->ib = NULL;
	c->ilen = c->olen = c->ooff = 0;
	c->wsleft = 0;
	c->wshlen = 0;
}

static void conn_open(conn *c)
{
	int one = 1;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket: %s (raise ulimit -n?)", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (O.srcs > 0) { /* many loopback source addresses: no port shortage */
		struct sockaddr_in a = { .sin_family = AF_INET };
		a.sin_addr.s_addr = htonl(0x7f000100u + 1 + srcn++ % (uint32_t)O.srcs);
		setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
		if (bind(c->fd, (struct sockaddr *)&a, sizeof a) < 0)
			die("bind: %s", strerror(errno));
	}
	c->t_open = mono_us();
	c->reused = 0;
	c->st = S_TCP;
	n_pending++;
	if (connect(c->fd, (struct sockaddr *)&dst, sizeof dst) < 0 && errno != EINPROGRESS) {
		conn_fail(c, strerror(errno));
		return;
	}
	want(c, EPOLLOUT);
}

static void conn_fail(conn *c, const char *why)
{
	if (c->st == S_DEAD || c->st == S_NEW)
		return;
	if (c->st == S_RUN) {
		disc++;
		n_ready--;
		if (!first_err[0])
			note_err("connection %d lost: %s", c->idx, why);
	} else {
		n_pending--;
		note_err("connect: %s", why);
	}
	conn_close(c, false);
	wlen = 0;
	if (O.churn && !stop_sig) {
		c->st = S_NEW;
		return;
	}
	c->st = S_DEAD;
	n_dead++;
}

static void start_mqtt(conn *c)
{
	c->st = S_CONNACK;
	wlen = 0;
	w_connect(c);
	commit(c);
	if (c->st == S_CONNACK && c->ooff == c->olen)
		want(c, EPOLLIN);
}

static void start_app(conn *c)
{
	if (O.ws) {
		char b[512];
		int n = snprintf(b, sizeof b,
				 "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
				 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
				 "Sec-WebSocket-Protocol: mqtt\r\n\r\n",
				 O.wspath, O.host, O.port);
		c->st = S_WS;
		ob_add(c, (uint8_t *)b, (size_t)n);
		ob_flush(c);
		return;
	}
	start_mqtt(c);
}

static void do_tls(conn *c)
{
#ifndef NO_TLS
	ERR_clear_error();
	int r = SSL_do_handshake(c->ssl);
	if (r == 1) {
		c->reused = (uint8_t)SSL_session_reused(c->ssl);
		start_app(c);
		return;
	}
	int e = SSL_get_error(c->ssl, r);
	if (e == SSL_ERROR_WANT_READ) {
		want(c, EPOLLIN);
	} else if (e == SSL_ERROR_WANT_WRITE) {
		want(c, EPOLLIN | EPOLLOUT);
	} else {
		char b[120] = "TLS handshake failed";
		unsigned long q = ERR_peek_error();
		if (q)
			ERR_error_string_n(q, b, sizeof b);
		conn_fail(c, b);
	}
#else
	(void)c;
#endif
}

static void conn_up(conn *c)
{
	n_pending--;
	conns_done++;
	resumed += c->reused;
	h_add(&HC, mono_us() - c->t_open);
	c->st = S_RUN;
	n_ready++;
	if (O.churn) {
		wlen = 0;
		w_byte2(0xe0, 0);
		if (!commit(c))
			return;
		n_ready--;
		if (O.resume) { /* the tickets of TLS 1.3 come after the handshake */
#ifndef NO_TLS
			if (c->ssl && !c->sess) {
				uint8_t tmp[1];
				raw_read(c, tmp, sizeof tmp);
			}
#endif
		}
		conn_close(c, true);
		c->st = S_NEW;
	}
}

/* --------------------------------------------------------------- sending */

static uint64_t due_of(const conn *c)
{
	return t_run + (uint64_t)((double)(c->seq * (uint64_t)O.conns + (uint64_t)c->idx) * 1e6 / O.rate);
}

static void pump(conn *c)
{
	bool did = false;
	uint64_t now;
	if (!sending || c->st != S_RUN || c->ooff < c->olen)
		return;
	now = mono_us();
	wlen = 0;
	while (c->inflight < c->window && wlen < WB / 2) {
		uint64_t t = now;
		uint16_t pid = 0;
		if (O.count && c->seq >= O.count)
			break;
		if (O.rate > 0) {
			t = due_of(c);
			if (t > now)
				break;
		}
		if (O.qos) {
			uint32_t k = (uint32_t)(c->seq & (uint64_t)(O.ring - 1));
			if (c->slot[k])
				break; /* that id is still in flight */
			pid = (uint16_t)(k + 1);
			c->slot[k] = t;
		} else {
			if (!c->unpinged)
				c->ping[(c->pgh + c->pgn) % PINGS].t = t;
			c->unpinged++;
		}
		w_publish(c, pid, O.rate > 0 ? t : now);
		c->seq++;
		c->inflight++;
		a_sent++;
		if (measuring)
			m_sent++;
		did = true;
		if (!O.qos && c->pgn < PINGS - 1 &&
		    (c->unpinged >= (c->window + 1) / 2 || (O.count && c->seq >= O.count) || O.rate > 0)) {
			c->ping[(c->pgh + c->pgn) % PINGS].n = c->unpinged;
			c->pgn++;
			c->unpinged = 0;
			w_byte2(0xc0, 0);
		}
	}
	if (did)
		commit(c);
}

/* ------------------------------------------------------------- receiving */

static void got_ack(conn *c, uint16_t pid)
{
	uint32_t k = (uint32_t)pid - 1;
	uint64_t now;
	if (!O.qos || !c->slot || k >= (uint32_t)O.ring || !c->slot[k]) {
		a_dup++;
		return;
	}
	now = mono_us();
	if (measuring) {
		h_add(&H, now > c->slot[k] ? now - c->slot[k] : 0);
		m_acked++;
	}
	c->slot[k] = 0;
	c->inflight--;
	a_acked++;
	t_last_ack = now;
}

static void got_pong(conn *c)
{
	if (O.mode != M_PUB || O.qos || !c->pgn)
		return;
	uint64_t now = mono_us();
	uint32_t n = c->ping[c->pgh].n;
	if (measuring) {
		h_add(&H, now - c->ping[c->pgh].t);
		m_acked += n;
	}
	a_acked += n;
	c->inflight -= n;
	c->pgh = (c->pgh + 1) % PINGS;
	c->pgn--;
	t_last_ack = now;
}

static void got_publish(uint8_t h, const uint8_t *b, uint32_t n)
{
	uint32_t o, tl, q = (h >> 1) & 3;
	static uint32_t hint;
	uint64_t t0 = 0, now = mono_us();
	if (n < 2)
		return;
	tl = (uint32_t)b[0] << 8 | b[1];
	o = 2 + tl;
	if (o + (q ? 2 : 0) > n)
		return;
	if (q) {
		uint16_t pid = (uint16_t)(b[o] << 8 | b[o + 1]);
		o += 2;
		w_puback(pid);
	}
	if (O.ver == 5 && o < n) {
		uint32_t v = 0, s = 0;
		while (o < n) {
			uint8_t x = b[o++];
			v |= (uint32_t)(x & 127) << s;
			s += 7;
			if (!(x & 128))
				break;
		}
		o += v;
		if (o > n)
			return;
	}
	a_rcvd++;
	if (h & 8)
		a_dup++;
	if (!t_first_rx)
		t_first_rx = now;
	t_last_rx = now;
	if (measuring) {
		m_rcvd++;
		m_bytes += n;
	}
	const uint8_t *p = b + o;
	uint32_t k = n - o;
	if (k >= 16 && p[0] >= '1' && p[0] <= '9') {
		hint = 0;
	} else {
		if (!(hint && hint + 16 <= k && !memcmp(p + hint - 5, "\"t0\":", 5))) {
			uint8_t *f = memmem(p, k, "\"t0\":", 5);
			if (!f)
				return;
			hint = (uint32_t)(f - p) + 5;
			if (hint + 16 > k)
				return;
		}
	}
	for (int i = 0; i < 16; i++) {
		uint8_t d = p[hint + (uint32_t)i];
		if (d < '0' || d > '9')
			return;
		t0 = t0 * 10 + (d - '0');
	}
	int64_t lat = (int64_t)now + real_off - (int64_t)t0;
	if (measuring)
		h_add(&H, lat > 0 ? (uint64_t)lat : 0);
}

static uint32_t connack_recvmax(const uint8_t *b, uint32_t n)
{
	uint32_t o = 2, v = 0, s = 0, end;
	while (o < n) {
		uint8_t x = b[o++];
		v |= (uint32_t)(x & 127) << s;
		s += 7;
		if (!(x & 128))
			break;
	}
	end = o + v > n ? n : o + v;
	while (o < end) {
		uint8_t id = b[o++];
		switch (id) {
		case 0x21:
			if (o + 2 <= end)
				return (uint32_t)b[o] << 8 | b[o + 1];
			return 0;
		case 0x11: case 0x27: o += 4; break;
		case 0x22: case 0x13: o += 2; break;
		case 0x24: case 0x25: case 0x28: case 0x29: case 0x2a: o += 1; break;
		case 0x26:
			if (o + 2 > end)
				return 0;
			o += 2u + ((uint32_t)b[o] << 8 | b[o + 1]);
			/* fall through */
		default:
			if (o + 2 > end)
				return 0;
			o += 2u + ((uint32_t)b[o] << 8 | b[o + 1]);
		}
	}
	return 0;
}

static void packet(conn *c, uint8_t h, const uint8_t *b, uint32_t n)
{
	switch (h >> 4) {
	case 2:
		if (c->st != S_CONNACK)
			return;
		if (n < 2 || b[1]) {
			char e[40];
			snprintf(e, sizeof e, "refused, CONNACK code %d", n < 2 ? -1 : b[1]);
			conn_fail(c, e);
			return;
		}
		if (O.ver == 5) {
			uint32_t rm = connack_recvmax(b, n);
			if (rm && rm < c->window)
				c->window = rm;
		}
		if (O.mode == M_SUB) {
			c->st = S_SUBACK;
			w_subscribe(c);
		} else {
			conn_up(c);
		}
		return;
	case 3:
		got_publish(h, b, n);
		return;
	case 4:
		if (n >= 3 && b[2] >= 0x80)
			a_nack++;
		if (n >= 2)
			got_ack(c, (uint16_t)(b[0] << 8 | b[1]));
		return;
	case 9:
		if (c->st == S_SUBACK) {
			if (b[n - 1] >= 0x80) {
				conn_fail(c, "subscription refused");
				return;
			}
			conn_up(c);
		}
		return;
	case 13:
		got_pong(c);
		return;
	case 14:
		conn_fail(c, "DISCONNECT from the broker");
		return;
	}
}

/* parse whole packets in b[0..n); returns the bytes used */
static uint32_t parse(conn *c, const uint8_t *b, uint32_t n)
{
	uint32_t o = 0;
	while (n - o >= 2) {
		uint32_t v = 0, s = 0, p = o + 1;
		bool ok = false;
		while (p < n && s < 28) {
			uint8_t x = b[p++];
			v |= (uint32_t)(x & 127) << s;
			s += 7;
			if (!(x & 128)) {
				ok = true;
				break;
			}
		}
		if (!ok) {
			if (s >= 28)
				conn_fail(c, "bad packet length");
			return o;
		}
		if (n - p < v) {
			if (v > RB)
				conn_fail(c, "packet too large for this tool");
			return o;
		}
		packet(c, b[o], b + p, v);
		o = p + v;
		if (c->st == S_DEAD || c->st == S_NEW)
			return o;
		if (wlen > WB && !commit(c))
			return o;
	}
	return o;
}

/* strip web socket framing in place; returns the MQTT bytes left in b */
static uint32_t ws_strip(conn *c, uint8_t *b, uint32_t n)
{
	uint32_t i = 0, o = 0;
	while (i < n) {
		if (c->wsleft) {
			uint64_t k = n - i < c->wsleft ? n - i : c->wsleft;
			if (!c->wshdr) {
				memmove(b + o, b + i, k);
				o += (uint32_t)k;
			}
			i += (uint32_t)k;
			c->wsleft -= k;
			continue;
		}
		c->wsh[c->wshlen++] = b[i++];
		if (c->wshlen < 2)
			continue;
		uint32_t l = c->wsh[1] & 127, need = l == 126 ? 4 : l == 127 ? 10 : 2;
		if (c->wshlen < need)
			continue;
		uint64_t v = l;
		if (l == 126) {
			v = (uint64_t)c->wsh[2] << 8 | c->wsh[3];
		} else if (l == 127) {
			v = 0;
			for (int k = 2; k < 10; k++)
				v = v << 8 | c->wsh[k];
		}
		c->wshdr = (c->wsh[0] & 15) > 2; /* control frame: skip its body */
		if (c->wshdr)
			ws_skip++;
		c->wsleft = v;
		c->wshlen = 0;
	}
	return o;
}

static void on_readable(conn *c)
{
	for (int rounds = 0; rounds < 8; rounds++) {
		uint32_t keep = c->ilen, used;
		if (keep)
			memcpy(rbuf, c->ib, keep);
		ssize_t r = raw_read(c, rbuf + keep, sizeof rbuf - keep);
		if (r < 0) {
			conn_fail(c, "closed by the broker");
			return;
		}
		if (r == 0)
			break;
		uint32_t fresh = (uint32_t)r, n;
		if (c->st == S_WS) {
			rbuf[keep + fresh] = 0;
			uint8_t *e = memmem(rbuf, keep + fresh, "\r\n\r\n", 4);
			if (!e) {
				n = keep + fresh;
				used = 0;
				goto save;
			}
			if (memcmp(rbuf, "HTTP/1.1 101", 12)) {
				conn_fail(c, "web socket upgrade refused");
				return;
			}
			c->ilen = 0;
			start_mqtt(c);
			n = keep + fresh - (uint32_t)(e + 4 - rbuf);
			if (c->st != S_CONNACK)
				return;
			memmove(rbuf, e + 4, n);
			n = ws_strip(c, rbuf, n);
		} else {
			n = keep + (O.ws ? ws_strip(c, rbuf + keep, fresh) : fresh);
		}
		wlen = 0;
		used = parse(c, rbuf, n);
		if (c->st == S_DEAD || c->st == S_NEW)
			return;
		if (wlen && !commit(c))
			return;
	save:
		if (n > used) {
			if (n - used > c->ilen || !c->ib) {
				free(c->ib);
				c->ib = malloc(n - used + 64);
				if (!c->ib)
					die("out of memory");
			}
			memcpy(c->ib, rbuf + used, n - used);
		}
		c->ilen = n - used;
		if (!c->ilen && c->ib) {
			free(c->ib);
			c->ib = NULL;
		}
#ifndef NO_TLS
		if (c->ssl && SSL_has_pending(c->ssl))
			continue;
#endif
		if (fresh < 16384)
			break; /* most likely all there was; epoll is level-triggered */
	}
	if (O.mode == M_PUB)
		pump(c);
}

static void on_event(conn *c, uint32_t ev)
{
	if (c->fd < 0)
		return;
	if (c->st == S_TCP) {
		int e = 0;
		socklen_t l = sizeof e;
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &l);
		if (e) {
			conn_fail(c, strerror(e));
			return;
		}
		if (O.tls) {
#ifndef NO_TLS
			tls_attach(c);
#endif
			c->st = S_TLS;
			do_tls(c);
			return;
		}
		start_app(c);
		return;
	}
	if (c->st == S_TLS) {
		do_tls(c);
		return;
	}
	if (ev & EPOLLOUT) {
		if (!ob_flush(c))
			return;
		if (O.mode == M_PUB)
			pump(c);
	}
	if (c->fd >= 0 && (ev & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		on_readable(c);
}

/* ------------------------------------------- CPU of watched processes */

typedef struct {
	char name[32];
	int pid, tree;
	double u0, s0, u1, s1;
	long rss, pss;
} watch;
static watch Wt[16];
static int nW;

static bool stat_of(int pid, bool dead_children, double *u, double *s, int *ppid)
{
	char f[64], b[1024], *p;
	unsigned long ut, st;
	long cu, cs;
	FILE *h;
	snprintf(f, sizeof f, "/proc/%d/stat", pid);
	if (!(h = fopen(f, "r")))
		return false;
	size_t n = fread(b, 1, sizeof b - 1, h);
	fclose(h);
	b[n] = 0;
	if (!(p = strrchr(b, ')')))
		return false;
	int pp = 0;
	if (sscanf(p + 2, "%*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld", &pp, &ut, &st, &cu, &cs) != 5)
		return false;
	double hz = (double)sysconf(_SC_CLK_TCK);
	*u += ((double)ut + (dead_children ? (double)cu : 0)) / hz;
	*s += ((double)st + (dead_children ? (double)cs : 0)) / hz;
	if (ppid)
		*ppid = pp;
	return true;
}

static long rss_of(int pid)
{
	char f[64], b[256];
	long kb = 0;
	FILE *h;
	snprintf(f, sizeof f, "/proc/%d/status", pid);
	if (!(h = fopen(f, "r")))
		return 0;
	while (fgets(b, sizeof b, h))
		if (sscanf(b, "VmRSS: %ld", &kb) == 1)
			break;
	fclose(h);
	return kb;
}

static void watch_sample(bool end)
{
	for (int i = 0; i < nW; i++) {
		watch *w = &Wt[i];
		double u = 0, s = 0;
		long rss = rss_of(w->pid);
		stat_of(w->pid, w->tree, &u, &s, NULL);
		if (w->tree) {
			DIR *d = opendir("/proc");
			struct dirent *e;
			while (d && (e = readdir(d))) {
				double cu = 0, cs = 0;
				int pp = 0, pid = atoi(e->d_name);
				if (pid > 0 && stat_of(pid, true, &cu, &cs, &pp) && pp == w->pid) {
					u += cu;
					s += cs;
					rss += rss_of(pid);
				}
			}
			if (d)
				closedir(d);
		}
		if (end) {
			w->u1 = u;
			w->s1 = s;
			w->rss = rss;
		} else {
			w->u0 = u;
			w->s0 = s;
		}
	}
}

static struct rusage ru0, ru1;
static uint64_t t_m0, t_m1;

static void measure(bool on)
{
	if (on) {
		h_reset(&H);
		m_acked = m_sent = m_rcvd = m_bytes = 0;
		watch_sample(false);
		getrusage(RUSAGE_SELF, &ru0);
		t_m0 = mono_us();
		measuring = true;
	} else if (measuring) {
		measuring = false;
		t_m1 = mono_us();
		getrusage(RUSAGE_SELF, &ru1);
		watch_sample(true);
	}
}

/* ---------------------------------------------------------------- report */

static double tv(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void p_hist(const char *name, const hist *h)
{
	printf(",\"%s\":{\"n\":%" PRIu64 ",\"mean\":%.0f,\"p50\":%" PRIu64 ",\"p95\":%" PRIu64 ",\"p99\":%" PRIu64
	       ",\"p999\":%" PRIu64 ",\"max\":%" PRIu64 "}",
	       name, h->n, h->n ? (double)h->sum / (double)h->n : 0, h_q(h, .5), h_q(h, .95), h_q(h, .99),
	       h_q(h, .999), h->max);
}

static void report(double connect_s)
{
	static const char *mn[] = { "pub", "sub", "conn" };
	double s = (double)(t_m1 - t_m0) / 1e6;
	uint64_t n = O.mode == M_PUB ? m_acked : O.mode == M_SUB ? m_rcvd : conns_done;
	if (O.mode == M_SUB && a_rcvd && s > 0 && t_first_rx > t_m0 && t_last_rx > t_first_rx)
		s = (double)(t_last_rx - t_first_rx) / 1e6; /* the span in which messages came */
	if (s <= 0)
		s = 1e-9;
	double u = tv(ru1.ru_utime) - tv(ru0.ru_utime), y = tv(ru1.ru_stime) - tv(ru0.ru_stime);
	double per = n ? 1e6 / (double)n : 0, span = (double)(t_m1 - t_m0) / 1e6;
	if (span <= 0)
		span = s;
	printf("{\"mode\":\"%s\"", mn[O.mode]);
	if (O.label)
		printf(",\"label\":\"%s\"", O.label);
	printf(",\"proto\":\"%s%s\",\"ver\":%d,\"conns\":%d,\"qos\":%d", O.ws ? "ws" : "mqtt", O.tls ? "s" : "", O.ver,
	       O.conns, O.qos);
	if (O.mode == M_PUB)
		printf(",\"window\":%d,\"rate_target\":%.0f,\"bytes_per_msg\":%.0f", O.window, O.rate,
		       m_sent ? (double)m_bytes / (double)m_sent : 0);
	printf(",\"secs\":%.3f", s);
	if (O.mode == M_PUB)
		printf(",\"sent\":%" PRIu64 ",\"acked\":%" PRIu64 ",\"rate\":%.1f", m_sent, m_acked, (double)m_acked / s);
	if (O.mode == M_SUB)
		printf(",\"received\":%" PRIu64 ",\"rate\":%.1f", m_rcvd, (double)m_rcvd / s);
	if (O.mode == M_CONN)
		printf(",\"connects\":%" PRIu64 ",\"rate\":%.1f,\"resumed\":%" PRIu64, conns_done,
		       (double)conns_done / s, resumed);
	if (O.mode != M_CONN)
		p_hist("lat_us", &H);
	p_hist("connect_us", &HC);
	printf(",\"connect_s\":%.3f,\"total_sent\":%" PRIu64 ",\"total_acked\":%" PRIu64 ",\"total_received\":%" PRIu64
	       ",\"dup\":%" PRIu64 ",\"nack\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"disconnects\":%" PRIu64,
	       connect_s, a_sent, a_acked, a_rcvd, a_dup, a_nack, errs, disc);
	if (O.mode == M_PUB)
		printf(",\"unacked\":%" PRIu64, a_sent - a_acked);
	if (first_err[0])
		printf(",\"first_error\":\"%s\"", first_err);
	printf(",\"self\":{\"user_us_per\":%.3f,\"sys_us_per\":%.3f,\"busy\":%.3f}", u * per, y * per, (u + y) / span);
	printf(",\"watch\":{");
	for (int i = 0; i < nW; i++) {
		watch *w = &Wt[i];
		double wu = w->u1 - w->u0, wsy = w->s1 - w->s0;
		printf("%s\"%s\":{\"user_us_per\":%.3f,\"sys_us_per\":%.3f,\"cpu_us_per\":%.3f,\"busy\":%.3f,\"rss_kb\":%ld}",
		       i ? "," : "", w->name, wu * per, wsy * per, (wu + wsy) * per, (wu + wsy) / span, w->rss);
	}
	printf("}}\n");
	fflush(stdout);
}

/* ------------------------------------------------------------------ main */

static void on_sig(int s)
{
	(void)s;
	stop_sig = 1;
}

static void usage(void)
{
	fputs("usage: mqload pub|sub|conn [options]      (see README.md)\n"
	      "  -H HOST -p PORT -c CONNECTIONS -q QOS -V 4|5 -k KEEPALIVE -K PARALLEL_CONNECTS\n"
	      "  -t TOPIC -f FILTER      %t tenant, %d device, %c connection number, %p pid\n"
	      "  -s BYTES | -T TEMPLATE | -T @FILE | -T telemetry\n"
	      "                          %n seq  %N global seq  %u time us  %m ms  %z ISO  %f float  %i int\n"
	      "  -W WINDOW -r RATE -n COUNT_PER_CONNECTION -D SECONDS -w WARMUP_SECONDS --drain S --idle S\n"
	      "  --tls --cafile F --cert F --key F --no-verify --resume --tls-max 1.2|1.3 --ciphers L --groups L\n"
	      "  --ws [--ws-path /mqtt]  --ids FILE (tenant device [cert key])  --tenants N --tenant FMT --device FMT\n"
	      "  --id TEMPLATE -u USER -P PASSWORD --no-clean --retain\n"
	      "  --churn                 conn mode: reconnect all the time; else connect and hold --hold S\n"
	      "  --src N                 use N loopback source addresses\n"
	      "  --watch NAME=PID[+],..  CPU and RSS of processes (+ with its children)\n"
	      "  --label TEXT\n",
	      stderr);
	exit(2);
}

static void read_ids(void)
{
	char l[4096];
	FILE *f = fopen(O.ids, "r");
	int n = 0;
	if (!f)
		die("cannot read %s", O.ids);
	while (n < O.conns && fgets(l, sizeof l, f)) {
		char *s = NULL, *t = strtok_r(l, " \t\r\n", &s), *d = strtok_r(NULL, " \t\r\n", &s);
		char *ce = strtok_r(NULL, " \t\r\n", &s), *k = strtok_r(NULL, " \t\r\n", &s);
		if (!t || t[0] == '#')
			continue;
		if (!d)
			die("%s: a line needs a tenant and a device", O.ids);
		C[n].tenant = strdup(t);
		C[n].device = strdup(d);
		if (ce)
			C[n].cert = strdup(ce);
		if (k)
			C[n].key = strdup(k);
		n++;
	}
	fclose(f);
	if (n < O.conns)
		die("%s has %d lines, %d connections wanted", O.ids, n, O.conns);
}

int main(int argc, char **argv)
{
	enum { o_tls = 256, o_ca, o_cert, o_key, o_nov, o_res, o_tmax, o_ciph, o_grp, o_ws, o_wsp, o_ids, o_tens,
	       o_ten, o_dev, o_id, o_ncl, o_ret, o_churn, o_hold, o_src, o_watch, o_label, o_drain, o_idle, o_quiet };
	static const struct option L[] = {
		{ "tls", 0, 0, o_tls }, { "cafile", 1, 0, o_ca }, { "cert", 1, 0, o_cert }, { "key", 1, 0, o_key },
		{ "no-verify", 0, 0, o_nov }, { "resume", 0, 0, o_res }, { "tls-max", 1, 0, o_tmax },
		{ "ciphers", 1, 0, o_ciph }, { "groups", 1, 0, o_grp }, { "ws", 0, 0, o_ws }, { "ws-path", 1, 0, o_wsp },
		{ "ids", 1, 0, o_ids }, { "tenants", 1, 0, o_tens }, { "tenant", 1, 0, o_ten },
		{ "device", 1, 0, o_dev }, { "id", 1, 0, o_id }, { "no-clean", 0, 0, o_ncl }, { "retain", 0, 0, o_ret },
		{ "churn", 0, 0, o_churn }, { "hold", 1, 0, o_hold }, { "src", 1, 0, o_src },
		{ "watch", 1, 0, o_watch }, { "label", 1, 0, o_label }, { "drain", 1, 0, o_drain },
		{ "idle", 1, 0, o_idle }, { "quiet", 0, 0, o_quiet }, { 0, 0, 0, 0 },
	};
	int o;
	if (argc < 2)
		usage();
	if (!strcmp(argv[1], "pub"))
		O.mode = M_PUB;
	else if (!strcmp(argv[1], "sub"))
		O.mode = M_SUB;
	else if (!strcmp(argv[1], "conn"))
		O.mode = M_CONN;
	else
		usage();
	argv++;
	argc--;
	while ((o = getopt_long(argc, argv, "H:p:c:q:V:k:K:t:f:s:T:W:r:n:D:w:u:P:", L, NULL)) != -1) {
		switch (o) {
		case 'H': O.host = optarg; break;
		case 'p': O.port = atoi(optarg); break;
		case 'c': O.conns = atoi(optarg); break;
		case 'q': O.qos = atoi(optarg); break;
		case 'V': O.ver = atoi(optarg); break;
		case 'k': O.keepalive = atoi(optarg); break;
		case 'K': O.par = atoi(optarg); break;
		case 't': O.topic = optarg; break;
		case 'f': O.filter = optarg; break;
		case 's': O.size = atoi(optarg); break;
		case 'T': O.tmpl = optarg; break;
		case 'W': O.window = atoi(optarg); break;
		case 'r': O.rate = atof(optarg); break;
		case 'n': O.count = strtoull(optarg, NULL, 10); break;
		case 'D': O.dur = atof(optarg); break;
		case 'w': O.warm = atof(optarg); break;
		case 'u': O.user = optarg; break;
		case 'P': O.pass = optarg; break;
		case o_tls: O.tls = 1; break;
		case o_ca: O.cafile = optarg; break;
		case o_cert: O.cert = optarg; break;
		case o_key: O.key = optarg; break;
		case o_nov: O.verify = 0; break;
		case o_res: O.resume = 1; break;
		case o_tmax: O.tlsmax = optarg; break;
		case o_ciph: O.ciphers = optarg; break;
		case o_grp: O.groups = optarg; break;
		case o_ws: O.ws = 1; break;
		case o_wsp: O.wspath = optarg; break;
		case o_ids: O.ids = optarg; break;
		case o_tens: O.tenants = atoi(optarg); break;
		case o_ten: O.tenant = optarg; break;
		case o_dev: O.device = optarg; break;
		case o_id: O.cid = optarg; break;
		case o_ncl: O.clean = 0; break;
		case o_ret: O.retain = 1; break;
		case o_churn: O.churn = 1; break;
		case o_hold: O.hold = atof(optarg); break;
		case o_src: O.srcs = atoi(optarg); break;
		case o_watch: O.watch = optarg; break;
		case o_label: O.label = optarg; break;
		case o_drain: O.drain = atof(optarg); break;
		case o_idle: O.idle = atof(optarg); break;
		case o_quiet: O.quiet = 1; break;
		default: usage();
		}
	}
	if (!O.port)
		O.port = O.ws ? 9001 : O.tls ? 8883 : 1883;
	if (O.conns < 1 || O.qos < 0 || O.qos > 1 || (O.ver != 4 && O.ver != 5) || O.window < 1 || O.window > 16384 ||
	    O.size < 0 || O.size > 65000 || (O.churn && O.mode != M_CONN) || O.srcs > 250)
		usage();
#ifdef NO_TLS
	if (O.tls)
		die("built without TLS");
#else
	if (O.tls)
		tls_init();
#endif
	if (O.count)
		O.warm = 0;
	if (O.tmpl && !strcmp(O.tmpl, "telemetry")) {
		tmpl_compile(TELEMETRY);
	} else if (O.tmpl && O.tmpl[0] == '@') {
		FILE *f = fopen(O.tmpl + 1, "r");
		char *b = xalloc(65536);
		if (!f)
			die("cannot read %s", O.tmpl + 1);
		size_t n = fread(b, 1, 60000, f);
		fclose(f);
		while (n && (b[n - 1] == '\n' || b[n - 1] == '\r'))
			b[--n] = 0;
		tmpl_compile(b);
	} else if (O.tmpl) {
		tmpl_compile(O.tmpl);
	}
	filler = xalloc((size_t)O.size + 1);
	for (int i = 0; i < O.size; i++)
		filler[i] = (char)('a' + i % 26);
	for (O.ring = 64; O.ring < O.window * 2; O.ring *= 2)
		;
	if (O.ring > 32768)
		O.ring = 32768;

	C = xalloc(sizeof *C * (size_t)O.conns);
	for (int i = 0; i < O.conns; i++) {
		C[i].idx = i;
		C[i].fd = -1;
		C[i].window = (uint32_t)O.window;
	}
	if (O.ids)
		read_ids();
	for (int i = 0; i < O.conns; i++) {
		conn *c = &C[i];
		char b[128];
		if (!c->tenant) {
			snprintf(b, sizeof b, O.tenant, i % (O.tenants > 0 ? O.tenants : 1));
			c->tenant = strdup(b);
			snprintf(b, sizeof b, O.device, i);
			c->device = strdup(b);
		}
		if (!c->cert && O.cert && strchr(O.cert, '%')) {
			c->cert = expand(O.cert, c);
			c->key = O.key ? expand(O.key, c) : NULL;
		}
#ifndef NO_TLS
		if (O.tls)
			tls_load(c);
#endif
		if (O.mode == M_PUB) {
			c->topic = expand(O.topic, c);
			c->topiclen = (uint16_t)strlen(c->topic);
			if (O.qos)
				c->slot = xalloc(sizeof *c->slot * (size_t)O.ring);
		}
	}
	if (O.watch) {
		for (char *s = NULL, *w = strtok_r(O.watch, ",", &s); w && nW < 16; w = strtok_r(NULL, ",", &s)) {
			char *e = strchr(w, '=');
			if (!e)
				die("--watch NAME=PID");
			snprintf(Wt[nW].name, sizeof Wt[nW].name, "%.*s", (int)(e - w), w);
			Wt[nW].pid = atoi(e + 1);
			Wt[nW].tree = strchr(e, '+') != NULL;
			nW++;
		}
	}
	struct rlimit rl;
	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, on_sig);
	signal(SIGTERM, on_sig);
	dst.sin_family = AF_INET;
	dst.sin_port = htons((uint16_t)O.port);
	if (inet_pton(AF_INET, O.host, &dst.sin_addr) != 1)
		die("-H wants an IPv4 address");
	ep = epoll_create1(EPOLL_CLOEXEC);
	h_reset(&H);
	h_reset(&HC);
	clock_sync();

	uint64_t t_start = mono_us(), t_conn = 0, t_tick = t_start, t_end = 0, t_stop = 0;
	static struct epoll_event evs[1024];
	if (O.mode == M_CONN)
		measure(true);
	if (O.churn)
		t_end = t_start + (uint64_t)(O.dur * 1e6);
	for (;;) {
		uint64_t now = mono_us();

		/* open connections, at most -K at a time, at most -r per second */
		if (O.churn) {
			if (now >= t_end || stop_sig)
				break;
			for (int k = 0; k < O.conns; k++)
				if (C[k].st == S_NEW)
					conn_open(&C[k]);
		} else if (n_next < O.conns && !stop_sig) {
			int lim = O.conns;
			if (O.mode == M_CONN && O.rate > 0)
				lim = (int)((double)(now - t_start) / 1e6 * O.rate) + 1;
			while (n_next < O.conns && n_next < lim && n_pending < O.par)
				conn_open(&C[n_next++]);
		}

		/* all there: start */
		if (!O.churn && !running && n_next == O.conns && !n_pending) {
			running = true;
			t_conn = now;
			if (O.mode == M_CONN)
				measure(false);
			if (!O.quiet)
				fprintf(stderr, "READY %d connected, %d failed, %.3f s\n", n_ready, n_dead,
					(double)(now - t_start) / 1e6);
			if (!n_ready)
				break;
			if (O.mode == M_SUB)
				measure(true);
			if (O.mode == M_CONN)
				t_end = now + (uint64_t)(O.hold * 1e6);
			if (O.mode == M_PUB) {
				t_run = now = mono_us();
				sending = true;
				if (O.warm <= 0)
					measure(true);
				if (O.rate <= 0)
					for (int k = 0; k < O.conns; k++)
						pump(&C[k]);
			}
		}
		if (running) {
			if (O.mode == M_PUB) {
				if (sending && O.rate > 0) {
					uint64_t upto = (uint64_t)((double)(now - t_run) * O.rate / 1e6) + 1;
					uint64_t k = gsched;
					if (upto - k > (uint64_t)O.conns)
						k = upto - (uint64_t)O.conns;
					for (; k < upto; k++)
						pump(&C[k % (uint64_t)O.conns]);
					gsched = upto;
				}
				if (!measuring && !t_m0 && now - t_run >= (uint64_t)(O.warm * 1e6))
					measure(true);
				bool timed = !O.count && now - t_run >= (uint64_t)((O.warm + O.dur) * 1e6);
				bool counted = O.count && a_acked >= O.count * (uint64_t)n_ready && a_acked >= a_sent;
				if (sending && (timed || stop_sig || !n_ready)) {
					measure(false);
					sending = false;
					t_stop = now;
					if (!O.qos) /* ask for confirmation of the rest */
						for (int k = 0; k < O.conns; k++) {
							conn *c = &C[k];
							if (c->st != S_RUN || !c->unpinged || c->pgn >= PINGS)
								continue;
							c->ping[(c->pgh + c->pgn) % PINGS].n = c->unpinged;
							c->pgn++;
							c->unpinged = 0;
							wlen = 0;
							w_byte2(0xc0, 0);
							commit(c);
						}
				}
				if (counted) {
					measure(false);
					t_m1 = t_last_ack;
					break;
				}
				if (!sending && (a_acked >= a_sent || now - t_stop > (uint64_t)(O.drain * 1e6) || !n_ready))
					break;
			} else if (O.mode == M_SUB) {
				bool idle = a_rcvd && O.idle > 0 && now - t_last_rx > (uint64_t)(O.idle * 1e6);
				bool timed = O.dur > 0 && now - t_conn > (uint64_t)(O.dur * 1e6);
				bool counted = O.count && a_rcvd >= O.count * (uint64_t)O.conns;
				if (idle || timed || counted || stop_sig || !n_ready) {
					measure(false);
					break;
				}
			} else if (stop_sig || now >= t_end) {
				break;
			}
		}
		if (stop_sig && !running)
			break;

		/* once a second: clock, keep alive */
		if (now - t_tick > 1000000) {
			t_tick = now;
			clock_sync();
			if (O.keepalive)
				for (int k = 0; k < O.conns; k++) {
					conn *c = &C[k];
					if (c->st != S_RUN || now - c->last_out < (uint64_t)O.keepalive * 500000u)
						continue;
					if (O.mode == M_PUB && !O.qos && c->pgn)
						continue;
					wlen = 0;
					w_byte2(0xc0, 0);
					commit(c);
				}
		}

		struct timespec ts = { 0, 20000000 };
		if (sending && O.rate > 0) {
			double next = (double)t_run + (double)gsched * 1e6 / O.rate - (double)mono_us();
			ts.tv_nsec = next < 50 ? 50000 : next > 20000 ? 20000000 : (long)(next * 1000);
		} else if (n_next < O.conns && O.mode == M_CONN && O.rate > 0) {
			ts.tv_nsec = 1000000;
		}
		int n = epoll_pwait2(ep, evs, 1024, &ts, NULL);
		for (int k = 0; k < n; k++)
			on_event(evs[k].data.ptr, evs[k].events);
	}
	if (O.mode == M_CONN)
		measure(false);
	for (int k = 0; k < O.conns; k++)
		if (C[k].st == S_RUN) {
			wlen = 0;
			w_byte2(0xe0, 0);
			O.churn = 0;
			commit(&C[k]);
		}
	report((double)((t_conn ? t_conn : mono_us()) - t_start) / 1e6);
	return errs || disc || (O.mode == M_PUB && a_acked < a_sent) ? 1 : 0;
}
