/**
 * The load generator: a fixed number of connections, each with one request at a time. It writes prepared bytes and
 * parses only the end of an answer, so that on a machine with two cores the server has one core for itself.
 */

import { once } from "node:events";
import net from "node:net";

const HEAD_END = Buffer.from("\r\n\r\n");
const LAST_CHUNK = "0\r\n\r\n";

/** A keep-alive connection to a local port. */
export class Connection {
  #socket;
  #received = [];
  #settle;

  /** Whether the connection is closed. The server closes idle connections. */
  get closed() {
    return this.#socket.closed || this.#socket.readyState !== "open";
  }

  static async open(port) {
    const socket = net.connect(port, "127.0.0.1");
    socket.setNoDelay(true);
    await once(socket, "connect");
    return new Connection(socket);
  }

  constructor(socket) {
    this.#socket = socket;
    socket.on("data", (bytes) => this.#read(bytes));
    socket.on("error", (error) => this.#settle?.reject(error));
    socket.on("close", () => this.#settle?.reject(new Error("the connection was closed")));
  }

  /** Sends a request and resolves to the whole answer. */
  send(request) {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#socket.write(request);
    });
  }

  /** Sends more bytes of a request. */
  write(bytes) {
    this.#socket.write(bytes);
  }

  close() {
    this.#settle = undefined;
    this.#socket.destroy();
  }

  #read(bytes) {
    this.#received.push(bytes);
    const all = this.#received.length === 1 ? bytes : Buffer.concat(this.#received);
    if (!isComplete(all)) return;
    this.#received = [];
    const { resolve } = this.#settle;
    this.#settle = undefined;
    resolve(all);
  }
}

function isComplete(bytes) {
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) return false;
  const length = /\r\ncontent-length: (\d+)/i.exec(bytes.latin1Slice(0, end));
  if (length) return bytes.length >= end + HEAD_END.length + Number(length[1]);
  return bytes.subarray(-LAST_CHUNK.length).latin1Slice() === LAST_CHUNK;
}

export const statusOf = (answer) => Number(answer.latin1Slice(9, 12));

/**
 * Opens connections. `run` sends `count` requests over them and returns the milliseconds of each. A request is bytes,
 * or a function of its index. `onAnswer` is called with each answer and the index of its request.
 */
export async function openLoad(port, connections) {
  const open = await Promise.all(Array.from({ length: connections }, () => Connection.open(port)));
  return {
    /** Replaces closed connections, before a measurement. */
    async ready() {
      for (const [at, connection] of open.entries()) {
        if (connection.closed) open[at] = await Connection.open(port);
      }
    },
    async run(request, count, status, onAnswer) {
      const latencies = new Float64Array(count);
      let next = 0;
      const work = async (connection) => {
        for (let at = next++; at < count; at = next++) {
          const bytes = typeof request === "function" ? request(at) : request;
          // The server closes idle connections. A request on a closed one would never be answered.
          if (connection.closed) connection = await Connection.open(port);
          const began = performance.now();
          const answer = await connection.send(bytes);
          latencies[at] = performance.now() - began;
          if (statusOf(answer) !== status) {
            throw new Error(`expected ${status}: ${answer.latin1Slice()}`);
          }
          onAnswer?.(answer, at);
        }
      };
      await Promise.all(open.map(work));
      return latencies;
    },
    close: () => {
      for (const connection of open) connection.close();
    },
  };
}
