// Guardian: the children one decides for.

import { all, call, sessions } from "./api.js";
import { fill, h } from "./dom.js";
import { t } from "./words.js";

let known = null; // who asked, and what came of it

/** Whether the signed-in person decides for a child of this household. */
export async function isGuardian() {
  return (await wards()).length > 0;
}

async function wards() {
  const me = sessions.person?.person;
  if (!me) return [];
  const people = await all("people", { as: "person" });
  const children = people.filter((one) => one.kind === "child" && one.id !== me);
  const key = JSON.stringify([me, children.map((one) => [one.id, one.voice_id])]);
  if (known?.key === key) return known.mine;
  const mine = [];
  for (const child of children) {
    // only a guardian is told the preferences
    if ((await call("GET", `people/${child.id}`, { as: "person" })).preferences !== null) mine.push(child);
  }
  known = { key, mine };
  return mine;
}

export async function show(content) {
  const children = await wards();
  fill(content, h("h1", { tabindex: "-1" }, t("guardian.title")), h("p", { class: "lead" }, t("guardian.lead")),
    children.length
      ? h("ul", { class: "cards" }, children.map((child) => h("li", { class: "card person" },
        h("span", { class: "face", "aria-hidden": "true" }, child.display_name.slice(0, 1).toUpperCase()),
        h("div", { class: "who" }, h("h2", {}, child.display_name),
          h("p", { class: child.voice_id ? "on" : "off" }, t(child.voice_id ? "home.on" : "home.off"))),
        h("div", { class: "links" },
          h("a", { href: `#join/${child.id}` }, t("guardian.decide", { name: child.display_name })),
          h("a", { href: `#voice/${child.id}` }, t("guardian.see", { name: child.display_name }))))))
      : h("p", {}, t("guardian.none")));
}
