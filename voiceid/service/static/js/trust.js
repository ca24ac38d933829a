// Trust: how a device of the home learns to know this household's certificate, for each system.

import { call } from "./api.js";
import { fill, h } from "./dom.js";
import { t } from "./words.js";

const SYSTEMS = { ios: /iPhone|iPad/, android: /Android/, windows: /Windows/, mac: /Macintosh/, linux: /Linux|X11/ };

export async function show(content) {
  const lan = await call("GET", "/v1/lan");
  const mine = Object.keys(SYSTEMS).find((name) => SYSTEMS[name].test(navigator.userAgent));
  fill(content, h("h1", { tabindex: "-1" }, t("trust.title")), h("p", { class: "lead" }, t("trust.lead")),
    lan.url ? steps(lan, mine) : h("p", { class: "card" }, t("trust.off")));
}

function steps(lan, mine) {
  return [
    h("section", { class: "card", "aria-labelledby": "get" }, h("h2", { id: "get" }, t("trust.get")),
      h("p", {}, h("a", { class: "button", href: "/household-ca.crt", download: "voiceid-household.crt" }, t("trust.download"))),
      h("p", {}, t("trust.compare")), h("p", { class: "link" }, h("code", {}, lan.fingerprint))),
    h("section", { class: "card", "aria-labelledby": "how" }, h("h2", { id: "how" }, t("trust.how")),
      Object.keys(SYSTEMS).map((system) => h("details", { open: system === mine }, h("summary", {}, t(`trust.name.${system}`)),
        h("ol", {}, t(`trust.steps.${system}`).split("|").map((step) => h("li", {}, step)))))),
    h("section", { class: "card", "aria-labelledby": "then" }, h("h2", { id: "then" }, t("trust.then")),
      h("p", {}, t("trust.again"), " ", h("a", { href: `${lan.url}/` }, lan.url)), h("p", { class: "hint" }, t("trust.limits"))),
  ];
}
