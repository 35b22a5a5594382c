/*
 * fake_gateway: a gateway small enough for tests of the C client: a thread that lets its clients talk to each other. It follows docs/specs/client-socket.md as far as the tests need,
 * trusts everybody, and does on request what gateways seldom do: the service "gateway/do" with a text says what.
 */
#ifndef IPCNET_FAKE_GATEWAY_H
#define IPCNET_FAKE_GATEWAY_H

struct fake_gateway;

/* Listens at `path`. NULL when it cannot. */
struct fake_gateway *fake_gateway_start(const char *path);
/* Closes all connections, as if the process had died, and ends the thread. */
void fake_gateway_stop(struct fake_gateway *self);

#endif
