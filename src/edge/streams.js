// Relays a stream that the gateway may have to end. In JavaScript, for two reasons: a message costs no call into
// WebAssembly, and a relay still works, and ends, after the module has stopped.

/** Relays upstream's WebSocket or body. Returns nothing for a response without either. */
export function relay(response) {
  if (response.webSocket) return relaySocket(response);
  return response.body ? relayBody(response) : undefined;
}

class Relay {
  isEnded = false;
  #cut;
  #sockets;
  #isClosed = false;
  #notify = () => {};

  constructor(response, cut, sockets = []) {
    this.response = response;
    this.#cut = cut;
    this.#sockets = new Set(sockets);
  }

  /** Resolves when both sides are closed. Call it again within `RECORD_MS`, so that records of slow readers stay. */
  whenClosed() {
    for (const socket of this.#sockets) recordWaiting(socket, socket.bufferedAmount);
    return new Promise((resolve) => {
      this.#notify = resolve;
      if (this.#isClosed) resolve();
    });
  }

  /** Notes that a side is closed: one of the sockets, or the body. */
  closed(socket) {
    this.#sockets.delete(socket);
    if (this.#sockets.size > 0) return;
    this.isEnded = true;
    this.#isClosed = true;
    this.#notify();
  }

  /** Ends the stream. Returns whether it was open. */
  end(code, reason) {
    if (this.isEnded) return false;
    this.isEnded = true;
    this.#cut(code, reason);
    return true;
  }

  /** Ends the stream when its checks stop, for whatever reason. 1011: internal error. */
  endWith(checks) {
    const stop = () => this.end(1011, "internal");
    checks.then(stop, stop);
  }
}

/** The platform pipes the body: no byte of it reaches this code. `end` lets it break off, so it is never complete. */
function relayBody(response) {
  const { readable, writable } = new IdentityTransformStream();
  const controller = new AbortController();
  const relay = new Relay(new Response(readable, response), () => controller.abort());
  const closed = () => relay.closed();
  response.body.pipeTo(writable, { signal: controller.signal }).then(closed, closed);
  return relay;
}

function relaySocket(upstreamResponse) {
  const { 0: client, 1: server } = new WebSocketPair();
  const upstream = upstreamResponse.webSocket;
  const headers = new Headers(upstreamResponse.headers);
  // The platform negotiates compression with the client itself.
  headers.delete("sec-websocket-extensions");
  const response = new Response(null, { status: 101, webSocket: client, headers });
  const sockets = [server, upstream];
  const cut = (code, reason) => {
    for (const socket of sockets) close(socket, code, reason);
  };
  const relay = new Relay(response, cut, sockets);
  // A side that was lost (1006) sent no code. 1001: it is going away. 1011: upstream failed.
  forward(relay, server, upstream, 1001);
  forward(relay, upstream, server, 1011);
  return relay;
}

/** Passes on the messages and the close frame of one side. Half-open: the other side itself answers a close frame. */
function forward(relay, from, to, lost) {
  const closed = ({ code = 1006, reason }) => {
    close(to, code === 1006 ? lost : code, reason);
    recordWaiting(from, 0);
    relay.closed(from);
  };
  from.accept({ allowHalfOpen: true });
  from.binaryType = "arraybuffer";
  from.addEventListener("message", ({ data }) => {
    if (relay.isEnded) return;
    if (hasRoom(to, data.byteLength ?? data.length)) to.send(data);
    else relay.end(1013, "too_slow");
  });
  from.addEventListener("close", closed);
  from.addEventListener("error", closed);
}

/** Closes a socket, unless it is closed or lost. Without a code (1005), the close frame is empty. */
function close(socket, code, reason) {
  try {
    if (code === 1005) socket.close();
    else socket.close(code, reason);
  } catch {
    // It is lost, or the other side's code may not be sent.
    if (socket.readyState === WebSocket.OPEN) socket.close(1002);
  }
}

/** A WebSocket of the platform cannot be paused. So what waits for slow readers is limited. */
function hasRoom(socket, length) {
  const bytes = socket.bufferedAmount + length;
  recordWaiting(socket, bytes);
  if (bytes <= UNRECORDED) return true;
  let sum = 0;
  for (const [other, { bytes, at }] of waiting) {
    if (Date.now() - at > 2 * RECORD_MS) waiting.delete(other);
    else sum += bytes;
  }
  return sum <= MAX_WAITING;
}

/** Sockets with slow readers, of all requests. A record that is not renewed has lost its request. */
const waiting = new Map();
const recordWaiting = (socket, bytes) =>
  bytes > UNRECORDED ? waiting.set(socket, { bytes, at: Date.now() }) : waiting.delete(socket);

/** Bytes that may wait for one socket without a record. */
const UNRECORDED = 65_536;
/** Bytes that may wait for all recorded sockets together. */
const MAX_WAITING = 33_554_432;
/** Milliseconds after which a record must be renewed. */
const RECORD_MS = 30_000;
