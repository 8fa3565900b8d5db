// The page: who one is, what is shown, and what happens when a form is sent.

import { Api, path, Problem, request } from "/page/api.js";
import { byId, linkTo, make } from "/page/dom.js";
import { whyNot } from "/page/explain.js";
import { Feed } from "/page/feed.js";
import { idOf, showProfile } from "/page/profile.js";
import { Stream } from "/page/stream.js";

const nobody = new Api(null);
let page = null; // what is shown to one user, from coming in to leaving

function say(text) {
  byId("status").textContent = text;
}

function showProblem(error) {
  if (!(error instanceof Problem)) throw error;
  const fields = error.errors.map(({ field, detail }) => make("p", {}, `${field}: ${detail}`));
  const advice = make("p", { class: "quiet" }, error.advice());
  byId("problem").replaceChildren(make("p", {}, error.message), ...fields, advice);
  byId("problem").hidden = false;
}

// Do something that may fail; `done` is said when it has not.
async function act(work, done = "") {
  byId("problem").hidden = true;
  try {
    await work();
    say(done);
  } catch (error) {
    say("");
    showProblem(error);
  }
}

const onSubmit = (id, work) =>
  byId(id).addEventListener("submit", (event) => {
    event.preventDefault();
    act(work);
  });

// What one user sees, until that user leaves.
class Page {
  #stream;
  #isRead = false;
  #isRefused = false;
  #down = { feed: [], stream: [] };

  constructor(api, user) {
    this.api = api;
    this.user = user;
    this.act = act;
    this.feed = new Feed(this);
    this.#stream = new Stream(api, (type, data) => this.#take(type, data));
  }

  // Show the feed. It is read when the stream stands, which tells what comes meanwhile.
  open() {
    byId("name").textContent = this.user;
    byId("entrance").hidden = true;
    byId("inside").hidden = false;
    byId("degraded").hidden = true;
    say("Reading your feed …");
    this.#stream.run();
  }

  close() {
    this.#stream.stop();
    byId("inside").hidden = true;
    byId("entrance").hidden = false;
    byId("problem").hidden = true;
    this.feed.close();
    byId("profile").close();
    byId("answer").replaceChildren();
    say("");
  }

  mode() {
    return document.querySelector("input[name=mode]:checked").value;
  }

  read() {
    this.#isRead = true;
    return act(() => this.feed.read());
  }

  remove(postId) {
    this.feed.remove(postId);
  }

  showProfile(userId) {
    act(() => showProfile(userId, this));
  }

  showDegraded(names, from = "feed") {
    this.#down[from] = names;
    const down = [...new Set(Object.values(this.#down).flat())];
    byId("degraded").hidden = down.length === 0;
    byId("degraded").textContent = `Not all is there now (degraded: ${down.join(", ")}): posts may be missing, or come late.`;
  }

  #take(type, data) {
    switch (type) {
      case "entry":
      case "remove":
      case "counts":
        this.feed.take(type, data);
        break;
      case "hello":
        if (!data.isResumed || !this.#isRead) this.read();
        break;
      case "gap":
        this.read();
        break;
      case "degraded":
        this.showDegraded(data.degraded, "stream");
        break;
      case "notification":
        say(`${data.kind} by ${data.actors.map((actor) => actor.username || actor.user_id).join(", ")}`);
        break;
      case "state":
        byId("live").textContent = data.isLive ? "live" : "not live";
        byId("live").classList.toggle("on", data.isLive);
        if (data.isLive && this.#isRefused) {
          this.#isRefused = false;
          byId("problem").hidden = true;
        }
        if (!data.isLive && !this.#isRead) this.read();
        break;
      case "refused":
        this.#isRefused = true;
        say("");
        showProblem(data.problem);
        if (data.isOver) byId("live").textContent = "not live";
    }
  }
}

// The user that a token (a JWT) names; whether it is valid, the API says.
function userOf(token) {
  try {
    const claims = atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(claims, (c) => c.charCodeAt(0)))).sub;
  } catch {
    throw new Problem(401, { detail: "This is no token." }, null);
  }
}

// Come in with a token, if it can read a feed.
async function enter(token) {
  const user = userOf(token);
  const api = new Api(token);
  await api.get("feed", { limit: 1 });
  page?.close();
  page = new Page(api, user);
  page.open();
}

function leave() {
  page.close();
  page = null;
}

async function pick() {
  const options = {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ user_id: byId("user").value }),
  };
  const response = await request("/trying-out/token", options);
  if (!response.ok) throw await Problem.of(response);
  const { token } = await response.json();
  await enter(token);
}

async function paste() {
  const token = byId("token").value.trim();
  byId("token").value = "";
  await enter(token);
}

async function compose() {
  const body = { content: byId("content").value, visibility: byId("visibility").value };
  await page.api.write("POST", "posts", body);
  byId("content").value = "";
  if (byId("live").textContent !== "live") await page.feed.read();
}

async function search() {
  await showProfile(await idOf(byId("wanted").value.trim(), page.api), page);
}

async function askWhyNot() {
  const answer = await page.api.get("feed/why-not", { post_id: byId("missing").value.trim() });
  byId("answer").replaceChildren(whyNot(answer));
}

// Users who may be picked: whose posts are on the rise.
async function suggestUsers() {
  const { posts } = await nobody.get("trending", { kind: "posts", window: "24h", limit: 50 });
  const users = new Set(posts.map(({ post }) => post.user.user_id));
  byId("users").replaceChildren(...[...users].map((value) => make("option", { value })));
}

async function begin() {
  const response = await request("/page/about");
  if (!response.ok) throw await Problem.of(response);
  const about = await response.json();
  byId(about.is_trying_out ? "pick" : "paste").hidden = false;
  for (const address of about.monitors) {
    byId("links").append(make("li", {}, linkTo(address, `monitor ${new URL(address).host}`)));
  }
  byId("user").value = new URLSearchParams(location.hash.slice(1)).get("user") || "";
  await suggestUsers();
}

onSubmit("pick", pick);
onSubmit("paste", paste);
onSubmit("compose", compose);
onSubmit("search", search);
onSubmit("why-not", askWhyNot);
byId("leave").addEventListener("click", leave);
byId("again").addEventListener("click", () => page.read());
byId("newer").addEventListener("click", () => page.read());
byId("more").addEventListener("click", () => act(() => page.feed.readMore()));
byId("mode").addEventListener("change", () => page.read());
act(begin);
