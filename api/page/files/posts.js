// One post of the feed: what it says, its counts, and what can be done with it.

import { path } from "/page/api.js";
import { button, linkTo, make, timeOf } from "/page/dom.js";
import { explained } from "/page/explain.js";

const COMMENTS = 20;

const nameOf = (user) => user.display_name || user.username || user.user_id;

function reasonText(reason) {
  const [kind, ...rest] = reason.split(":");
  const name = rest.join(":");
  return { u: `you follow ${name}`, s: `${name} shared it`, t: `#${name}` }[kind] || reason;
}

// `page` has `api`, `act(work, done)`, which shows what fails, `showProfile(userId)` and
// `remove(postId)`.
export class Card {
  #page;
  #post;
  #parts;

  constructor(post, page) {
    this.#page = page;
    this.#post = post;
    const id = `post-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
    this.#parts = {
      content: make("p", { class: "content", id: `${id}-content` }),
      about: make("p", { class: "quiet" }),
      like: button("", () => this.#toggle("like", "is_liked")),
      share: button("", () => this.#toggle("share", "is_shared")),
      discuss: button("", () => this.#discuss(), { "aria-expanded": "false", "aria-controls": `${id}-comments` }),
      comments: make("section", { id: `${id}-comments`, "aria-label": "Comments", hidden: true }),
    };
    this.element = make("li", { "data-post": post.post_id }, this.#article(id));
    this.update(post);
  }

  get post() {
    return this.#post;
  }

  #article(id) {
    const { content, about, like, share, discuss, comments } = this.#parts;
    const { user, media, created_at, explanation } = this.#post;
    const author = button(nameOf(user), () => this.#page.showProfile(user.user_id), { class: "link" });
    const verified = user.is_verified ? " (verified)" : null;
    const links = media.map(({ url, alt, kind }) => make("p", {}, `${kind}: `, linkTo(url, alt)));
    const hide = button("Hide", () => this.#hide());
    const article = make(
      "article", { "aria-labelledby": `${id}-content` },
      make("p", {}, author, verified, " · ", timeOf(created_at)),
      content, ...links, about,
      make("div", { class: "row" }, like, share, discuss, hide), comments,
    );
    if (explanation && explanation.position !== null) {
      article.append(make("details", { class: "why" }, make("summary", {}, "Why here?"), explained(explanation)));
    }
    return article;
  }

  // Show what a post of the API says; its reasons stay where it has none.
  update(post) {
    this.#post = { ...this.#post, ...post };
    const { content, about, like, share } = this.#parts;
    const { reasons, visibility, reply_to, edited_at, is_hidden, post_id } = this.#post;
    content.textContent = this.#post.content;
    about.textContent = [
      `id ${post_id}`,
      reasons.map(reasonText).join(", "),
      visibility === "public" ? "" : `for ${visibility}`,
      reply_to ? `answers ${reply_to}` : "",
      edited_at ? "edited" : "",
      is_hidden ? "hidden from others by reports or a moderator" : "",
    ].filter(Boolean).join(" · ");
    like.setAttribute("aria-pressed", String(this.#post.is_liked));
    share.setAttribute("aria-pressed", String(this.#post.is_shared));
    share.hidden = visibility !== "public";
    this.#showCounts();
  }

  // Show `counts` as a stream tells them.
  count({ reactions, comments, shares, views }) {
    const counts = { like_count: reactions.like || 0, comment_count: comments, share_count: shares };
    this.#post = { ...this.#post, ...counts, view_count: views };
    this.#showCounts();
  }

  // An entry came for one more reason, or one went; whether any is left.
  addReasons(reasons) {
    this.update({ reasons: [...new Set([...this.#post.reasons, ...reasons])] });
  }

  dropReasons(isGone) {
    this.update({ reasons: this.#post.reasons.filter((reason) => !isGone(reason)) });
    return this.#post.reasons.length > 0;
  }

  #showCounts() {
    const { like_count, comment_count, share_count } = this.#post;
    this.#parts.like.textContent = `Like ${like_count}`;
    this.#parts.share.textContent = `Share ${share_count}`;
    this.#parts.discuss.textContent = `Comments ${comment_count}`;
  }

  get #path() {
    return path("posts", this.#post.post_id);
  }

  async #refresh() {
    this.update(await this.#page.api.get(this.#path));
  }

  #toggle(what, is) {
    const part = this.#parts[what];
    if (part.ariaBusy === "true") return;
    part.ariaBusy = "true";
    this.#page.act(async () => {
      try {
        await this.#page.api.write(this.#post[is] ? "DELETE" : "POST", `${this.#path}/${what}`);
        await this.#refresh();
      } finally {
        part.ariaBusy = "false";
      }
    });
  }

  #hide() {
    this.#page.act(async () => {
      await this.#page.api.write("POST", `${this.#path}/engagements`, { action: "hide" });
      this.#page.remove(this.#post.post_id);
    }, "Hidden.");
  }

  #discuss() {
    const { comments, discuss } = this.#parts;
    comments.hidden = !comments.hidden;
    discuss.setAttribute("aria-expanded", String(!comments.hidden));
    if (!comments.hidden) this.#page.act(() => this.#readComments());
  }

  async #readComments() {
    const { comments } = await this.#page.api.get(`${this.#path}/comments`, { limit: COMMENTS });
    const items = comments.map(({ user, text, created_at }) =>
      make("li", {}, make("b", {}, nameOf(user)), " · ", timeOf(created_at), make("div", { class: "content" }, text)));
    const text = make("input", { required: true, "aria-label": "Your comment", autocomplete: "off" });
    const add = (event) => {
      event.preventDefault();
      this.#page.act(async () => {
        await this.#page.api.write("POST", `${this.#path}/comments`, { text: text.value });
        await this.#refresh();
        await this.#readComments();
      }, "Your comment is there.");
    };
    this.#parts.comments.replaceChildren(
      make("ol", { class: "comments" }, ...items),
      make("form", { class: "row", on: { submit: add } }, text, make("button", {}, "Comment")),
    );
  }
}
