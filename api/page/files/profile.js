// A user in a dialog, to follow or follow no longer.

import { path } from "/page/api.js";
import { button, byId, make } from "/page/dom.js";

// Show a user; `page` has `api`, `user` and `act`.
export async function showProfile(userId, page) {
  const profile = await page.api.get(path("users", userId));
  const dialog = byId("profile");
  const { display_name, username, bio, followers, following, posts, is_following } = profile;
  const follow = button(is_following ? "Following" : "Follow", () => toggle(profile, page), {
    "aria-pressed": String(is_following),
    id: "follow",
  });
  dialog.replaceChildren(
    make("h2", {}, display_name || username || userId),
    make("p", { class: "quiet" }, username ? `@${username} · id ${userId}` : `id ${userId}`),
    make("p", {}, bio || ""),
    make("p", {}, `${followers} followers, follows ${following}, ${posts} posts`),
    make(
      "div", { class: "row" },
      userId === page.user ? null : follow,
      button("Close", () => dialog.close()),
    ),
  );
  if (!dialog.open) dialog.showModal();
}

function toggle({ user_id, is_following }, page) {
  const method = is_following ? "DELETE" : "POST";
  page.act(async () => {
    await page.api.write(method, path("users", user_id, "follow"));
    await showProfile(user_id, page);
  }, is_following ? "Unfollowed: its posts go from your feed." : "Followed: its posts come into your feed.");
}

// The id of who is named: an id, or a user name with @.
export async function idOf(name, api) {
  if (!name.startsWith("@")) return name;
  const { user_id } = await api.get(path("usernames", name));
  return user_id;
}
