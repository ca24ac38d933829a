// A receipt: what was erased, counted again, signed; to keep as a file and as a QR code.

import { addressForOthers, call, qrCode } from "./api.js";
import { attempt } from "./app.js";
import { button, fill, h, save } from "./dom.js";
import { has, moment, t } from "./words.js";

const still = matchMedia("(prefers-reduced-motion: reduce)");
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, still.matches ? 0 : ms));

/** Show a purge step by step, until its receipt is complete. */
export async function showPurge(place, receipt) {
  const steps = h("ol", { class: "purge", "aria-live": "polite" });
  const kept = h("div", {});
  fill(place, steps, kept);
  const add = async (text, kind = "done") => {
    steps.append(h("li", { class: kind }, text));
    await pause(450);
  };
  await add(t("purge.shut", { at: moment(receipt.requested_at) }));
  let now = receipt;
  while (now.state === "pending") {
    fill(kept, h("p", { role: "status" }, t("purge.pending")));
    await pause(2000);
    now = await call("GET", `/v1/receipts/${receipt.id}`);
  }
  await add(t("purge.keys", { count: now.keys_destroyed.length }));
  for (const store of now.stores.filter((one) => one.found > 0)) {
    await add(t("purge.store", { store: storeName(store.store), found: store.found, left: store.left }));
  }
  await add(t("purge.counted", { count: now.stores.length }));
  await add(t("purge.signed", { at: moment(now.completed_at) }));
  await attempt(async () => fill(kept, await keepIt(now)));
  return now;
}

/** What people call a store. */
export const storeName = (store) => (has(`store.${store}`) ? t(`store.${store}`) : store);

async function keepIt(receipt) {
  const link = `${(await addressForOthers()).url}/#proof/${receipt.id}`;
  return h("div", { class: "card receipt" },
    h("h3", {}, t("receipt.title")), h("p", {}, t("receipt.text")),
    await qrCode(link, t("receipt.qr")),
    h("div", { class: "pair" },
      button(t("receipt.save"), () => save(fileOf(receipt), `voiceid-receipt-${receipt.id.slice(-8)}.json`), "primary"),
      h("a", { class: "button", href: `#proof/${receipt.id}` }, t("receipt.verify"))));
}

const fileOf = (receipt) => new Blob([JSON.stringify(receipt, null, 1)], { type: "application/json" });
