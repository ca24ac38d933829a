// Household: what its owner may do. An owner can invite and remove, never listen or agree for somebody.

import { all, call, sessions } from "./api.js";
import { attempt, go, tell } from "./app.js";
import { ask, button, field, fill, h } from "./dom.js";
import { showPurge } from "./receipt.js";
import { moment, number, t } from "./words.js";

const owner = { as: "owner" };

export async function show(content) {
  const place = `/v1/households/${sessions.owner.household}`;
  const [home, tokens, people, policy] = await Promise.all([
    call("GET", place, owner), all(`${place}/tokens`, owner), all(`${place}/people`, owner), call("GET", "/v1/policy", owner),
  ]);
  fill(content,
    h("h1", { tabindex: "-1" }, home.name), h("p", { class: "lead" }, t("household.lead")),
    naming(place, home), members(place, people), tokenList(place, tokens), recognition(policy.recognition));
}

function naming(place, home) {
  const name = h("input", { value: home.name, required: true, maxlength: 80 });
  const submit = (event) => {
    event.preventDefault();
    attempt(async () => {
      await call("PATCH", place, { ...owner, json: { name: name.value } });
      go("#household");
    });
  };
  return h("form", { class: "card", onsubmit: submit }, field(t("household.name"), name),
    h("button", { type: "submit" }, t("save")));
}

function members(place, people) {
  return h("section", { class: "card", "aria-labelledby": "members" }, h("h2", { id: "members" }, t("home.people")),
    h("ul", { class: "rows" }, people.map((person) => h("li", {},
      h("span", {}, person.display_name, " ", h("small", {}, t(person.voice_id ? "home.on" : "home.off"))),
      button(t("household.remove", { name: person.display_name }), () => remove(place, person), "quiet danger")))));
}

async function remove(place, person) {
  const sure = await ask(t("household.remove", { name: person.display_name }), (close) => [
    h("p", {}, t("household.remove.text", { name: person.display_name })),
    h("div", { class: "pair" }, button(t("cancel"), () => close(false)), button(t("household.remove.do"), () => close(true), "danger")),
  ]);
  if (!sure) return;
  await attempt(async () => {
    const receipt = await call("DELETE", `${place}/people/${person.id}`, owner);
    await ask(t("purge.title"), (close) => {
      const box = h("div", {});
      showPurge(box, receipt);
      return [box, button(t("done"), () => close(true), "primary")];
    });
    go("#household");
  });
}

/** A session of the owner's has no name that anybody gave it. */
const called = (token) => (token.role === "owner" && token.label === "page" ? t("token.page") : token.label);

function tokenList(place, tokens) {
  const label = h("input", { required: true, maxlength: 80, placeholder: t("token.example") });
  const role = h("select", {}, ["device", "skill"].map((one) => h("option", { value: one }, t(`token.${one}`))));
  const add = (event) => {
    event.preventDefault();
    attempt(async () => {
      const skill = role.value === "skill" ? { skill: label.value.toLowerCase().replace(/[^a-z0-9]+/g, "-") } : {};
      const made = await call("POST", `${place}/tokens`, { ...owner, json: { role: role.value, label: label.value, ...skill } });
      await ask(t("token.made"), (close) => [
        h("p", {}, t("token.once")), h("p", { class: "link" }, h("code", {}, made.token)),
        h("div", { class: "pair" }, button(t("copy"), () => navigator.clipboard.writeText(made.token)),
          button(t("done"), () => close(true), "primary")),
      ]);
      go("#household");
    });
  };
  const revoke = (token) => attempt(async () => {
    await call("DELETE", `${place}/tokens/${token.id}`, owner);
    tell(t("token.revoked", { label: called(token) }));
    go("#household");
  });
  return h("section", { class: "card", "aria-labelledby": "tokens" }, h("h2", { id: "tokens" }, t("token.title")),
    h("p", {}, t("token.text")),
    h("ul", { class: "rows" }, tokens.map((token) => h("li", {},
      h("div", {}, called(token), " ", h("small", {}, t(`token.${token.role}`), " · ", moment(token.created_at)),
        h("p", { class: "hint" }, t(`token.sees.${token.role}`))),
      button(t("token.revoke", { label: called(token) }), () => revoke(token), "quiet danger")))),
    h("form", { class: "inline", onsubmit: add }, field(t("token.label"), label), field(t("token.role"), role),
      h("button", { type: "submit" }, t("token.add"))));
}

function recognition({ policy, guests_named_at_most: share, measured }) {
  const words = ["convenient", "balanced", "strict"];
  return h("section", { class: "card", "aria-labelledby": "recognition" }, h("h2", { id: "recognition" }, t("recognition.title")),
    h("ul", { class: "words" }, words.map((word) =>
      h("li", { "aria-current": word === policy ? "true" : null }, h("strong", {}, t(`recognition.${word}`)), " ",
        t(`recognition.${word}.text`)))),
    measured ? expected(measured) : h("p", {}, t("recognition.expect", { of: number(Math.round(1 / share)) })),
    h("p", { class: "hint" }, t("recognition.setting")));
}

/** What was measured, as people count: of a hundred requests. */
function expected(measured) {
  const rows = Object.entries(measured.by_speech_s);
  const hundred = (part) => number(part * 100, part > 0.995 || part < 0.005 ? 1 : 0);
  return h("div", { class: "scroll figures", tabindex: "0", role: "group", "aria-labelledby": "recognition" }, h("table", {},
    h("caption", {}, t("recognition.measured", { size: measured.household })),
    h("thead", {}, h("tr", {}, ["length", "members", "guests"].map((name) => h("th", { scope: "col" }, t(`expected.${name}`))))),
    h("tbody", {}, rows.map(([seconds, found]) => h("tr", {}, h("th", { scope: "row" }, t("seconds", { seconds })),
      h("td", {}, hundred(found.members_named)), h("td", {}, hundred(found.guests_named)))))));
}
