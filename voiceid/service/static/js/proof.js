// Proof: verify a receipt here in the browser. Once this screen is open, no network is needed.

import { call, Problem } from "./api.js";
import { explain } from "./app.js";
import { fill, h } from "./dom.js";
import { storeName } from "./receipt.js";
import { moment, t } from "./words.js";

export async function show(content, [id]) {
  const keys = (await call("GET", "/.well-known/voiceid-keys.json")).keys;
  const result = h("div", { role: "status" });
  const input = h("input", { type: "file", id: "receipt", accept: ".json,.jws,.txt,application/json",
    onchange: () => input.files[0] && read(input.files[0]) });
  const read = async (file) => fill(result, await verdict(await file.text(), keys));
  const zone = h("div", { class: "card drop",
    ondragover: (event) => { event.preventDefault(); zone.classList.add("over"); },
    ondragleave: () => zone.classList.remove("over"),
    ondrop: (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      if (event.dataTransfer.files[0]) read(event.dataTransfer.files[0]);
    } },
    h("label", { for: "receipt" }, t("proof.drop")), input);
  fill(content, h("h1", { tabindex: "-1" }, t("proof.title")), h("p", { class: "lead" }, t("proof.lead")), zone, result,
    h("p", { class: "hint" }, t("proof.how")));
  if (id) {
    const receipt = await call("GET", `/v1/receipts/${encodeURIComponent(id)}`);
    fill(result, receipt.state === "pending" ? h("p", {}, t("purge.pending")) : await verdict(receipt.jws, keys));
  }
}

async function verdict(text, keys) {
  try {
    const { receipt, where } = await verified(signedText(text), keys);
    return [h("p", { class: "verdict good" }, t("proof.good")), h("p", { class: "hint" }, t(`proof.${where}`)), facts(receipt)];
  } catch (error) {
    const why = error instanceof Problem ? explain(error) : t("proof.unreadable");
    return h("p", { class: "verdict bad" }, why);
  }
}

/** The compact signature out of whatever the file holds: bare, or in the member `jws`. */
function signedText(text) {
  const trimmed = text.trim();
  return trimmed.startsWith("{") ? String(JSON.parse(trimmed).jws) : trimmed;
}

async function verified(jws, keys) {
  const [head, body, signature] = jws.split(".");
  const header = JSON.parse(decodeText(head));
  const trusted = keys.find((key) => key.kid === header.kid);
  if (!trusted) throw new Problem("receipt-unknown-key", "");
  if (header.alg !== "EdDSA" || header.typ !== "voiceid-receipt+jws") throw new Problem("receipt-invalid", "");
  const key = await importKey(trusted);
  if (key === null) {
    const answer = await call("POST", "/v1/receipts/verify", { json: { jws } });
    return { receipt: answer.receipt, where: "by_service" };
  }
  const signed = new TextEncoder().encode(`${head}.${body}`);
  if (!(await crypto.subtle.verify("Ed25519", key, bytes(signature), signed))) throw new Problem("receipt-invalid", "");
  return { receipt: JSON.parse(decodeText(body)), where: "by_browser" };
}

/** The key, or null where the browser knows no Ed25519. */
async function importKey(jwk) {
  try {
    return await crypto.subtle.importKey("raw", bytes(jwk.x), { name: "Ed25519" }, false, ["verify"]);
  } catch {
    return null;
  }
}

function bytes(word) {
  const plain = atob(word.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(plain, (character) => character.charCodeAt(0));
}

const decodeText = (word) => new TextDecoder().decode(bytes(word));

function facts(receipt) {
  const found = receipt.stores.filter((one) => one.found > 0);
  return h("div", { class: "card" },
    h("dl", {},
      h("dt", {}, t("proof.asked")), h("dd", {}, moment(receipt.requested_at)),
      h("dt", {}, t("proof.done")), h("dd", {}, moment(receipt.completed_at)),
      h("dt", {}, t("proof.why")), h("dd", {}, receipt.why),
      h("dt", {}, t("proof.keys")), h("dd", {}, String(receipt.keys_destroyed.length))),
    h("table", {}, h("caption", {}, t("proof.stores")),
      h("thead", {}, h("tr", {}, ["store", "found", "left"].map((name) => h("th", { scope: "col" }, t(`proof.${name}`))))),
      h("tbody", {}, (found.length ? found : receipt.stores).map((one) =>
        h("tr", {}, h("th", { scope: "row" }, storeName(one.store)), h("td", {}, String(one.found)), h("td", {}, String(one.left)))))));
}
