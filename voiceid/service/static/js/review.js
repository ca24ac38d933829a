// Letting one named person hear one recording, for a reason, for a day.

import { call } from "./api.js";
import { attempt } from "./app.js";
import { ask, button, field, h } from "./dom.js";
import { moment, t } from "./words.js";

/** Ask whom and why, then show what opens the recording; it is shown this once. */
export async function letReview(mine, recording) {
  const reviewer = h("input", { required: true, maxlength: 80 });
  const reason = h("input", { required: true, maxlength: 400 });
  const sure = await ask(t("review.title", { at: moment(recording.at) }), (close) => {
    const submit = (event) => {
      event.preventDefault();
      close(true);
    };
    return h("form", { onsubmit: submit }, h("p", {}, t("review.text")), field(t("review.who"), reviewer), field(t("review.why"), reason),
      h("div", { class: "pair" }, button(t("cancel"), () => close(null)), h("button", { type: "submit", class: "primary" }, t("review.do"))));
  });
  if (!sure) return;
  await attempt(async () => {
    const json = { recording: recording.id, reviewer: reviewer.value, reason: reason.value };
    const grant = await call("POST", `${mine.path}/reviews`, { json });
    await ask(t("review.made", { name: grant.reviewer }), (close) => [
      h("p", {}, t("review.once", { name: grant.reviewer, until: moment(grant.expires_at) })),
      h("p", { class: "link" }, h("code", {}, grant.token)),
      h("div", { class: "pair" }, button(t("copy"), () => navigator.clipboard.writeText(grant.token)),
        button(t("done"), () => close(true), "primary")),
    ]);
  });
  await mine.again();
}
