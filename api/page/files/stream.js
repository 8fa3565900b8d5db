// The caller's stream of changes: Server-Sent Events, read with fetch as they need a header.

import { Problem, request } from "/page/api.js";

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 15000;
const PATIENCE_BEFORE_HELLO_MS = 60000;
const BEATS_MISSED = 3;

// Tells `tell(type, data)` every message until it is stopped, coming back behind the last one when
// the connection ends. Beside the API's types: `state` ({isLive}), and `refused` (a Problem), after
// which it does not come back if `isOver`.
export class Stream {
  #api;
  #tell;
  #stop = new AbortController();
  #lastId = null;
  #retryMs = FIRST_WAIT_MS;
  #failures = 0;
  #patienceMs = PATIENCE_BEFORE_HELLO_MS;

  constructor(api, tell) {
    this.#api = api;
    this.#tell = (type, data) => {
      if (!this.#stop.signal.aborted) tell(type, data);
    };
  }

  stop() {
    this.#stop.abort();
  }

  async run() {
    while (!this.#stop.signal.aborted) {
      let after = null;
      try {
        await this.#once();
      } catch (error) {
        if (error instanceof Problem && error.status !== 0) {
          const isOver = [401, 403].includes(error.status);
          if (error.status === 400) this.#lastId = null;
          this.#tell("refused", { problem: error, isOver });
          if (isOver) return;
          after = Number(error.retryAfter) * 1000;
        }
      }
      this.#tell("state", { isLive: false });
      this.#failures += 1;
      const wait = Math.min(this.#retryMs * 2 ** (this.#failures - 1), LONGEST_WAIT_MS);
      await new Promise((resolve) => setTimeout(resolve, Math.max(after || 0, wait)));
    }
  }

  async #once() {
    const giveUp = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, giveUp.signal]);
    let watch;
    const wait = () => {
      clearTimeout(watch);
      watch = setTimeout(() => giveUp.abort(), this.#patienceMs);
    };
    const headers = { ...this.#api.authorization, Accept: "text/event-stream" };
    if (this.#lastId !== null) headers["Last-Event-ID"] = this.#lastId;
    this.#patienceMs = PATIENCE_BEFORE_HELLO_MS;
    wait();
    try {
      const response = await request("/api/v1/stream", { headers, signal });
      if (!response.ok) throw await Problem.of(response);
      const texts = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await texts.read();
        if (done) return;
        wait();
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop();
        blocks.forEach((block) => this.#take(block));
      }
    } finally {
      clearTimeout(watch);
    }
  }

  // One event: lines of `field: value`.
  #take(block) {
    const fields = {};
    for (const line of block.split("\n")) {
      const colon = line.indexOf(":");
      fields[line.slice(0, colon)] = line.slice(colon + 1).trimStart();
    }
    if (fields.retry !== undefined) this.#retryMs = Number(fields.retry);
    if (fields.event === undefined) return;
    const data = JSON.parse(fields.data);
    if (fields.event === "hello") {
      this.#failures = 0;
      this.#patienceMs = BEATS_MISSED * 1000 * data.heartbeat_seconds;
      data.isResumed = this.#lastId !== null;
      this.#tell("state", { isLive: true });
    }
    if (fields.id !== undefined) this.#lastId = fields.id;
    this.#tell(fields.event, data);
  }
}
