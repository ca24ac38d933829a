// The page: finds out who is here, shows the screen that the address names, and keeps keyboard and screen reader along.

import { call, findSessions, Problem, sessions, signIn, signOut } from "./api.js";
import { button, fill, h } from "./dom.js";
import { has, language, LANGUAGES, loadWords, t } from "./words.js";
import * as guardian from "./guardian.js";
import * as home from "./home.js";
import * as household from "./household.js";
import * as join from "./join.js";
import { nameAndPin } from "./pin.js";
import * as proof from "./proof.js";
import * as trust from "./trust.js";
import * as voice from "./voice.js";

const SCREENS = { home, join, voice, guardian, household, proof, trust };
const CODE = /^#([a-z2-7]{48})$/;
const main = document.querySelector("main");
const nav = document.querySelector("nav");
const notice = document.querySelector("#notice");
const JUST_NOW_MS = 1000;
let leave = null;
let shown = 0;
let toldAt = 0;

/** Tell something that matters on every screen; it stays until the next one. */
export function tell(text, kind = "good") {
  toldAt = performance.now();
  notice.className = kind;
  fill(notice, text ? h("p", {}, text) : null);
}

/** What a failure means, in words. */
export function explain(error) {
  if (!(error instanceof Problem)) return t("problem.internal");
  return has(`problem.${error.code}`) ? t(`problem.${error.code}`, error.facts) : t("problem.other", { detail: error.message });
}

/** Run something that may fail, and tell if it does; whether it went well. */
export async function attempt(work) {
  try {
    await work();
    return true;
  } catch (error) {
    tell(explain(error), "bad");
    if (!(error instanceof Problem)) console.error(error);
    return false;
  }
}

/** Show another screen. */
export function go(address) {
  if (location.hash === address) show();
  else location.hash = address;
}

async function show() {
  const code = CODE.exec(location.hash);
  if (code) {
    history.replaceState(null, "", location.pathname + location.search);
    tell("");
    if (!(await attempt(async () => { location.hash = await firstScreen(await signIn(code[1])); }))) show();
    return;
  }
  const turn = ++shown;
  document.querySelectorAll("dialog").forEach((dialog) => dialog.remove()); // whoever asked is left
  if (leave) await leave();
  leave = null;
  const [name, ...rest] = location.hash.slice(1).split("/");
  const asked = SCREENS[name] ?? home;
  const screen = allowed(asked) ? asked : null;
  await drawFrame();
  const content = h("div", { class: "screen" });
  let cleanup = null;
  try {
    cleanup = screen ? await screen.show(content, rest) : welcome(content);
  } catch (error) {
    fill(content, h("h1", { tabindex: "-1" }, t("problem.title")), h("p", {}, explain(error)),
      button(t("retry"), show, "primary"));
    if (!(error instanceof Problem)) console.error(error);
  }
  if (turn !== shown) {
    cleanup?.();
    return;
  }
  leave = cleanup ?? null;
  fill(main, content);
  const heading = main.querySelector("h1");
  document.title = `${heading?.textContent ?? ""} · voiceid`;
  if (turn > 1) heading?.focus();
}

/** Where somebody goes who has just come in: to the question, unless they have answered it, also with a no of late. */
async function firstScreen(session) {
  if (session.role === "owner") return "#home";
  if ((await call("GET", `people/${session.person}`)).entry.voice_id) return "#home";
  const { purposes } = await call("GET", `people/${session.person}/consents`);
  return purposes.some((one) => one.ask_again_at && new Date(one.ask_again_at) > new Date()) ? "#home" : "#join";
}

function allowed(screen) {
  if (screen === proof || screen === trust) return true;
  if (screen === household) return sessions.owner !== null;
  if (screen === home) return sessions.owner !== null || sessions.person !== null;
  return sessions.person !== null;
}

function welcome(content) {
  const code = h("input", { autocomplete: "off", spellcheck: "false", required: true, name: "code" });
  const enter = (event) => {
    event.preventDefault();
    location.hash = `#${code.value.trim().split("#").pop()}`;
  };
  fill(content,
    h("h1", { tabindex: "-1" }, t("welcome.title")),
    h("p", { class: "lead" }, t("welcome.lead")),
    h("form", { class: "card", onsubmit: enter },
      h("h2", {}, t("welcome.code")), h("p", {}, t("welcome.how")),
      h("div", { class: "field" }, h("label", { for: "code" }, t("welcome.field")), Object.assign(code, { id: "code" })),
      h("button", { type: "submit", class: "primary" }, t("welcome.enter"))),
    nameAndPin());
}

async function drawFrame() {
  const links = [["home", sessions.owner || sessions.person], ["join", sessions.person], ["voice", sessions.person],
    ["guardian", sessions.person && (await guardian.isGuardian())], ["household", sessions.owner], ["proof", true]];
  const here = location.hash.slice(1).split("/")[0] || "home";
  fill(nav, h("ul", {}, links.filter(([, may]) => may).map(([name]) =>
    h("li", {}, h("a", { href: `#${name}`, "aria-current": name === here ? "page" : null }, t(`nav.${name}`))))));
  const out = ["person", "owner"].filter((role) => sessions[role]).map((role) =>
    button(t(`signout.${role}`), () => attempt(async () => {
      await signOut(role);
      tell(t("signout.done"));
      go("#home");
    }), "quiet"));
  const choice = h("select", { "aria-label": t("language"), onchange: () => {
    location.search = `?lang=${choice.value}`;
  } }, Object.entries(LANGUAGES).map(([tag, name]) => h("option", { value: tag, lang: tag, selected: tag === language }, name)));
  fill(document.querySelector("#foot"), out, choice, h("a", { href: "#trust" }, t("nav.trust")), h("a", { href: "/docs" }, t("nav.docs")));
}

window.addEventListener("hashchange", () => {
  if (!CODE.test(location.hash) && performance.now() - toldAt > JUST_NOW_MS) tell("");
  show();
});
window.addEventListener("session-ended", ({ detail }) => {
  tell(t(`signout.expired.${detail}`), "bad");
  go("#home");
});
document.querySelector("#skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.querySelector("h1")?.focus();
});

await loadWords();
document.querySelector("#skip").textContent = t("skip");
document.querySelector("#promise").textContent = t("promise");
nav.setAttribute("aria-label", t("nav"));
try {
  await findSessions();
} catch (error) {
  tell(explain(error), "bad");
}
await show();
