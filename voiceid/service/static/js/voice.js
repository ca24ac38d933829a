// My voice: what I agreed to, what is kept of me, who looked at it; and forgetting all of it.

import { all, call, sessions } from "./api.js";
import { attempt, go } from "./app.js";
import { ask, button, field, fill, h, save } from "./dom.js";
import { pinForm } from "./pin.js";
import { recordingRow } from "./player.js";
import { showPurge, storeName } from "./receipt.js";
import { letReview } from "./review.js";
import { has, language, moment, t } from "./words.js";

const RETENTION = ["none", "3_months", "18_months", "until_deleted"];

export async function show(content, [someone]) {
  const person = someone ?? sessions.person.person;
  const mine = { person, path: `people/${person}`, heard: [], again: () => attempt(() => draw(content, mine)) };
  await draw(content, mine);
  return () => letGo(mine);
}

/** The browser holds no sound longer than the screen that played it. */
function letGo(mine) {
  for (const url of mine.heard.splice(0)) URL.revokeObjectURL(url);
}

async function draw(content, mine) {
  letGo(mine);
  const own = mine.person === sessions.person.person;
  const [detail, policy, consents, recordings, interactions, activity, pin] = await Promise.all([
    call("GET", mine.path), call("GET", `/v1/policy?language=${language}`), call("GET", `${mine.path}/consents`),
    all(`${mine.path}/recordings`), all(`${mine.path}/interactions`),
    call("GET", `${mine.path}/activity?limit=20`), own ? call("GET", `${mine.path}/pin`) : null,
  ]);
  mine.kind = detail.entry.kind;
  mine.reviewable = own && consents.purposes.some((one) => one.purpose === "human_review" && one.granted);
  fill(content,
    h("h1", { tabindex: "-1" }, own ? t("nav.voice") : t("voice.of", { name: detail.entry.display_name })),
    h("p", { class: detail.entry.voice_id ? "lead on" : "lead off" }, t(detail.entry.voice_id ? "voice.on" : "voice.off"), " ",
      detail.entry.voice_id ? null : h("a", { href: own ? "#join" : `#join/${mine.person}` }, t("nav.join"))),
    forgetting(mine, consents, detail),
    consentList(mine, policy, consents),
    recordingList(mine, recordings),
    interactionList(mine, interactions),
    own ? section("pin", t("pin.title"), ...pinForm(mine, pin.set)) : null,
    activityList(activity.items),
    takingAway(mine));
}

function section(id, title, ...children) {
  return h("section", { class: "card", "aria-labelledby": id }, h("h2", { id }, title), children);
}

/** Show a purge with its receipt in a dialog, then the screen anew. */
async function purge(mine, work) {
  await attempt(async () => {
    const receipt = await work();
    await ask(t("purge.title"), (close) => {
      const place = h("div", {});
      showPurge(place, receipt);
      return [place, button(t("done"), () => close(true), "primary")];
    });
  });
  await mine.again();
}

async function confirmed(title, text, yes) {
  return ask(title, (close) => [h("p", {}, text), h("div", { class: "pair" },
    button(t("cancel"), () => close(false)), button(yes, () => close(true), "danger"))]);
}

function forgetting(mine, consents, detail) {
  const anything = consents.purposes.some((one) => one.granted);
  const forget = async () => {
    if (!(await confirmed(t("forget.title"), t("forget.text"), t("forget.do")))) return;
    await purge(mine, () => call("DELETE", `${mine.path}/consents`));
  };
  return section("forget", t("forget.title"), h("p", {}, t("forget.lead")),
    button(t("forget.button"), forget, "big danger", { disabled: !anything }),
    anything ? null : h("p", { class: "hint" }, t("forget.nothing")),
    detail.voiceprint ? button(t("voiceprint.delete"), () => purge(mine, () => call("DELETE", `${mine.path}/voiceprint`)), "quiet danger") : null);
}

function consentList(mine, policy, consents) {
  const kept = new Map(policy.retention.map((row) => [row.purpose, row]));
  const asked = policy.purposes.filter(({ purpose, offered_to_children: children }) =>
    !purpose.startsWith("share:") && (mine.kind === "adult" || children));
  const offered = [...asked, ...sharing(policy, consents)];
  return section("consents", t("consents.title"), h("p", { class: "hint" }, policy.withdraw.replaceAll("`", "")),
    h("ul", { class: "purposes" }, offered.map((one) => {
      const state = consents.purposes.find((other) => other.purpose === one.purpose);
      return consentRow(mine, policy, one, state, kept.get(one.purpose));
    })));
}

/** One switch for each skill of the household; the policy's wording names an example. */
function sharing(policy, consents) {
  const wording = policy.purposes.find(({ purpose }) => purpose.startsWith("share:"));
  const example = wording.purpose.split(":")[1];
  return consents.purposes.filter(({ purpose }) => purpose.startsWith("share:")).map(({ purpose }) => {
    const named = (text) => text.replaceAll(example, purpose.split(":")[1]);
    return { purpose, title: named(wording.title), text: named(wording.text) };
  });
}

function consentRow(mine, policy, wording, state, schedule) {
  const path = `${mine.path}/consents/${wording.purpose}`;
  const word = (decision, more = {}) => call("PUT", path,
    { json: { decision, policy_version: policy.version, language, method: "screen", ...more } });
  const box = h("input", { type: "checkbox", role: "switch", id: `consent-${wording.purpose}`, checked: state.granted,
    "aria-describedby": `consent-${wording.purpose}-text`,
    onchange: () => (box.checked ? attempt(() => word("granted")).then(mine.again) : takeBack()) });
  const takeBack = async () => {
    if (await confirmed(t("withdraw.title"), t("withdraw.text"), t("withdraw.do"))) await purge(mine, () => call("DELETE", path));
    else box.checked = true;
  };
  const last = state.history.at(-1);
  return h("li", { class: "purpose" },
    h("div", { class: "switch" }, h("label", { for: box.id }, wording.title), box),
    h("p", { id: `consent-${wording.purpose}-text` }, wording.text),
    state.granted && schedule && schedule.choices.length > 1 ? retention(last, schedule, (chosen) =>
      attempt(() => word("granted", { retention: chosen })).then(mine.again)) : null,
    h("details", {}, h("summary", {}, t("consents.history", { count: state.history.length })),
      h("ol", { class: "history" }, state.history.map((record) => h("li", {},
        t(`change.${record.change}`), " · ", moment(record.at), " · ", t(`by.${record.given_by}`), " · ",
        t("consents.version", { version: record.policy_version }))))));
}

function retention(last, schedule, choose) {
  const now = last?.retention ?? schedule.default;
  const words = h("output", {}, t(`retention.${now}`));
  const slider = h("input", { type: "range", min: 0, max: RETENTION.length - 1, step: 1,
    value: Math.max(0, RETENTION.indexOf(now)), "aria-valuetext": t(`retention.${now}`),
    oninput: () => {
      fill(words, t(`retention.${RETENTION[slider.value]}`));
      slider.setAttribute("aria-valuetext", words.textContent);
    },
    onchange: () => choose(RETENTION[slider.value]) });
  return h("div", { class: "retention" }, field(t("retention.title"), slider), words);
}

function recordingList(mine, recordings) {
  const newest = [...recordings].sort((a, b) => (a.at < b.at ? 1 : -1));
  return section("recordings", t("recordings.title", { count: recordings.length }),
    recordings.length ? h("ul", { class: "rows tall" }, newest.map((one) => recordingRow(mine, one,
      () => purge(mine, () => call("DELETE", `${mine.path}/recordings/${one.id}`)),
      mine.reviewable ? () => letReview(mine, one) : null))) : h("p", {}, t("recordings.none")));
}

function interactionList(mine, interactions) {
  const since = h("input", { type: "datetime-local" });
  const until = h("input", { type: "datetime-local" });
  const iso = (input) => (input.value ? new Date(input.value).toISOString() : null);
  const erase = (range) => {
    const query = new URLSearchParams(Object.entries(range).filter(([, at]) => at));
    return purge(mine, () => call("DELETE", `${mine.path}/interactions?${query}`));
  };
  const newest = [...interactions].sort((a, b) => (a.at < b.at ? 1 : -1));
  return section("interactions", t("interactions.title", { count: interactions.length }),
    h("p", { class: "hint" }, t("interactions.text")),
    h("ul", { class: "rows tall" }, newest.map((one) => h("li", {},
      h("div", {}, h("strong", {}, moment(one.at)), h("p", {}, one.transcript ? `“${one.transcript}”` : t("interactions.untold")),
        h("p", { class: "hint" }, one.response)),
      h("div", { class: "actions" },
        button(t("interactions.notme"), () => purge(mine, () => call("POST", `${mine.path}/interactions/${one.id}/not-me`)), "quiet"),
        button(t("delete"), () => purge(mine, () => call("DELETE", `${mine.path}/interactions/${one.id}`)), "quiet danger",
          { "aria-label": t("interactions.delete", { at: moment(one.at) }) }))))),
    interactions.length ? h("fieldset", {}, h("legend", {}, t("interactions.range")),
      h("div", { class: "inline" }, field(t("interactions.since"), since), field(t("interactions.until"), until),
        button(t("interactions.delete.range"), () => erase({ since: iso(since), until: iso(until) }), "danger"),
        button(t("interactions.delete.all"), () => erase({}), "danger"))) : null);
}

function activityList(entries) {
  return section("activity", t("activity.title"), h("p", { class: "hint" }, t("activity.text")),
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-labelledby": "activity" }, h("table", {},
      h("thead", {}, h("tr", {}, ["when", "who", "what"].map((name) => h("th", { scope: "col" }, t(`activity.${name}`))))),
      h("tbody", {}, entries.map((entry) => h("tr", {}, h("td", {}, moment(entry.at)),
        h("td", {}, t(`role.${entry.who.split(":")[0]}`)),
        h("td", {}, has(`action.${entry.action}`) ? t(`action.${entry.action}`) : entry.action,
          entry.why ? ` (${has(`store.${entry.why}`) ? storeName(entry.why) : entry.why})` : null)))))));
}

function takingAway(mine) {
  const secret = h("input", { type: "password", minlength: 8, maxlength: 200, pattern: "[ -~]*", autocomplete: "new-password" });
  const take = (event) => {
    event.preventDefault();
    attempt(async () => {
      const more = secret.value ? { "voiceid-passphrase": secret.value } : {};
      const copy = await call("GET", `${mine.path}/export`, { blob: true, more });
      save(copy, secret.value ? "voiceid-export.zip.age" : "voiceid-export.zip");
      secret.value = "";
    });
  };
  const leave = async () => {
    if (!(await confirmed(t("leave.title"), t("leave.text"), t("leave.do")))) return;
    const own = mine.person === sessions.person.person;
    await attempt(async () => {
      const receipt = await call("DELETE", mine.path);
      if (own) sessions.person = null;
      await ask(t("purge.title"), (close) => {
        const place = h("div", {});
        showPurge(place, receipt);
        return [place, button(t("done"), () => close(true), "primary")];
      });
      go("#home");
    });
  };
  return section("away", t("export.title"), h("p", {}, t("export.text")),
    h("form", { class: "inline", onsubmit: take }, field(t("export.secret"), secret, t("export.secret.hint")),
      h("button", { type: "submit" }, t("export.button"))),
    button(t("leave.title"), leave, "danger"));
}

