// The list of posts: a page of the feed, and what the stream changes in it.

import { byId } from "/page/dom.js";
import { Card } from "/page/posts.js";

const PAGE = 20;

export class Feed {
  #page;
  #cards = new Map();
  #cursor = null;
  #waiting = null; // messages that came while the first page was read
  #missed = 0;
  #reading = 0;

  // `page` is what cards need, with `mode()` and `showDegraded(names)`.
  constructor(page) {
    this.#page = page;
  }

  // Read the first page.
  async read() {
    const number = ++this.#reading;
    this.#waiting = this.#waiting || [];
    byId("feed").setAttribute("aria-busy", "true");
    try {
      const read = await this.#get();
      if (number !== this.#reading) return; // it was asked for again meanwhile
      this.#cards.clear();
      byId("feed").replaceChildren();
      this.#append(read);
      this.#missed = 0;
    } finally {
      if (number === this.#reading) {
        byId("feed").setAttribute("aria-busy", "false");
        const waiting = this.#waiting;
        this.#waiting = null;
        waiting.forEach(([type, data]) => this.take(type, data));
        this.#showState();
      }
    }
  }

  // Show nothing more that is under way.
  close() {
    this.#reading += 1;
    byId("feed").replaceChildren();
  }

  // Read the next page.
  async readMore() {
    const number = this.#reading;
    const read = await this.#get({ cursor: this.#cursor });
    if (number !== this.#reading) return;
    this.#append(read);
    this.#showState();
  }

  async #get(more = {}) {
    const mode = this.#page.mode();
    const read = await this.#page.api.get("feed", { mode, limit: PAGE, explain: mode === "ranked", ...more });
    this.#page.showDegraded(read.degraded);
    return read;
  }

  #append({ posts, next_cursor }) {
    for (const post of posts) {
      const card = this.#cards.get(post.post_id) || new Card(post, this.#page);
      this.#cards.set(post.post_id, card);
      byId("feed").append(card.element);
    }
    this.#cursor = next_cursor;
  }

  // A post goes from the list.
  remove(postId) {
    this.#cards.get(postId)?.element.remove();
    this.#cards.delete(postId);
    this.#showState();
  }

  // What the stream says: `entry`, `remove` or `counts`.
  take(type, data) {
    if (this.#waiting !== null) {
      this.#waiting.push([type, data]);
      return;
    }
    if (type === "entry") this.#enter(data);
    else if (type === "remove") this.#leave(data);
    else this.#cards.get(data.post_id)?.count(data.counts);
    this.#showState();
  }

  #enter(post) {
    const known = this.#cards.get(post.post_id);
    const isRanked = this.#page.mode() === "ranked";
    if (known) {
      const isNewer = known.post.entry_at < post.entry_at;
      known.addReasons(post.reasons);
      if (isNewer && !isRanked) this.#place(known, post.entry_at);
    } else if (isRanked) {
      this.#missed += 1;
    } else {
      this.#place(new Card(post, this.#page), post.entry_at);
    }
  }

  // Put a card where one with its time stands, unless that is below what has been read.
  #place(card, at) {
    const others = [...byId("feed").children].filter((each) => each !== card.element);
    const below = others.find((each) => this.#cards.get(each.dataset.post).post.entry_at <= at);
    if (!below && this.#cursor !== null) return;
    card.update({ entry_at: at });
    this.#cards.set(card.post.post_id, card);
    byId("feed").insertBefore(card.element, below || null);
  }

  #leave({ post_id, reasons, author_id }) {
    if (reasons === undefined && author_id === undefined) {
      this.remove(post_id);
      return;
    }
    const isGone = author_id === undefined
      ? (reason) => reasons.includes(reason)
      : (reason) => reason === `s:${author_id}`;
    for (const [id, card] of this.#cards) {
      if (post_id !== undefined && post_id !== id) continue;
      const isBy = author_id !== undefined && card.post.user.user_id === author_id;
      if (isBy || (card.post.reasons.some(isGone) && !card.dropReasons(isGone))) this.remove(id);
    }
  }

  #showState() {
    byId("more").hidden = this.#cursor === null;
    byId("empty").hidden = this.#cards.size > 0;
    byId("newer").hidden = this.#missed === 0;
    byId("newer").textContent = `New posts have come (${this.#missed}): rank again`;
  }
}
