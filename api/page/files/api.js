// Requests to the API, and what to do when one fails.

const TRIES = 2;

// What was refused, as problem details (RFC 9457) say it.
export class Problem extends Error {
  constructor(status, body, retryAfter) {
    super(body.detail || body.title || `The API answered ${status}.`);
    this.status = status;
    this.errors = body.errors || [];
    this.retryAfter = retryAfter;
  }

  static async of(response) {
    const isProblem = (response.headers.get("content-type") || "").includes("json");
    const body = isProblem ? await response.json().catch(() => ({})) : {};
    return new Problem(response.status, body, response.headers.get("retry-after"));
  }

  static unreachable() {
    return new Problem(0, { detail: "The API cannot be reached." }, null);
  }

  // What who sees it may do.
  advice() {
    switch (this.status) {
      case 0: return "See whether it runs (headrace api), then try again.";
      case 401: return "Come in with a new token.";
      case 403: return "Use a token with the scope that it names: headrace token USER_ID --scope …";
      case 404: return "It may have been deleted, or not be for you. Read the feed again.";
      case 410: return "Read the feed again.";
      case 429: return `Try again in ${this.retryAfter || "a few"} s.`;
      case 503: return "“readiness” above says what is away. Try again soon.";
      default: return this.status >= 500 ? "The API's log says why." : "Change it, and try again.";
    }
  }
}

// Fetch, without cookies, and only from here.
export async function request(path, options = {}) {
  try {
    return await fetch(path, { credentials: "omit", cache: "no-store", redirect: "error", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw Problem.unreachable();
  }
}

// The API as one user sees it; the token is nowhere else.
export class Api {
  #token;

  constructor(token) {
    this.#token = token;
  }

  get authorization() {
    return this.#token === null ? {} : { Authorization: `Bearer ${this.#token}` };
  }

  get(path, query = {}) {
    return this.#ask("GET", `${path}?${new URLSearchParams(query)}`);
  }

  // A write, made once however often it is sent, and answered when the views show it.
  write(method, path, body = null) {
    const key = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("-");
    return this.#ask(method, `${path}?wait=view`, body, { "Idempotency-Key": key }, TRIES);
  }

  async #ask(method, path, body = null, headers = {}, tries = 1) {
    const options = { method, headers: { ...this.authorization, ...headers } };
    if (body !== null) {
      options.body = JSON.stringify(body);
      options.headers["Content-Type"] = "application/json";
    }
    let response;
    try {
      response = await request(`/api/v1/${path}`, options);
    } catch (error) {
      if (tries > 1) return this.#ask(method, path, body, headers, tries - 1);
      throw error;
    }
    if (!response.ok) throw await Problem.of(response);
    return response.json();
  }
}

// The path of a thing whose id may have any text in it.
export const path = (...parts) => parts.map(encodeURIComponent).join("/");
