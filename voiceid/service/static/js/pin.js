// The PIN for the screen that everybody uses: setting it, and coming in with it.

import { call, signInWithPin } from "./api.js";
import { attempt, go, tell } from "./app.js";
import { ask, button, field, h } from "./dom.js";
import { t } from "./words.js";

const digits = (more) => h("input", { type: "password", inputmode: "numeric", pattern: "[0-9]{6,12}", minlength: 6, maxlength: 12,
  required: true, ...more });

/** The part of My voice where one's own PIN is set and removed. */
export function pinForm(mine, isSet) {
  const pin = digits({ autocomplete: "new-password" });
  const path = `${mine.path}/pin`;
  const submit = (event) => {
    event.preventDefault();
    attempt(async () => {
      await call("PUT", path, { json: { pin: pin.value } });
      tell(t("pin.done"));
      await mine.again();
    });
  };
  const remove = () => attempt(async () => {
    await call("DELETE", path);
    tell(t("pin.removed"));
    await mine.again();
  });
  return [h("p", {}, t(isSet ? "pin.is" : "pin.why")),
    h("form", { class: "inline", onsubmit: submit }, field(t("pin.new"), pin, t("pin.rule")), h("button", { type: "submit" }, t("pin.set"))),
    isSet ? button(t("pin.remove"), remove, "quiet danger") : null];
}

/** Ask somebody for their PIN and let them in. */
export async function enterAs(name) {
  const pin = digits({ autocomplete: "off" });
  const given = await ask(t("pin.for", { name }), (close) => {
    const submit = (event) => {
      event.preventDefault();
      close(pin.value);
    };
    return h("form", { onsubmit: submit }, field(t("pin.field"), pin),
      h("div", { class: "pair" }, button(t("cancel"), () => close(null)), h("button", { type: "submit", class: "primary" }, t("pin.enter"))));
  });
  if (given) await letIn(name, given);
}

/** Name and PIN on one's own, where nobody is signed in. */
export function nameAndPin() {
  const name = h("input", { required: true, maxlength: 80, autocomplete: "off" });
  const pin = digits({ autocomplete: "off" });
  const submit = (event) => {
    event.preventDefault();
    letIn(name.value, pin.value);
  };
  return h("form", { class: "card", onsubmit: submit, "aria-labelledby": "with-pin" }, h("h2", { id: "with-pin" }, t("pin.title")), h("p", {}, t("pin.how")),
    field(t("home.name"), name), field(t("pin.field"), pin), h("button", { type: "submit" }, t("pin.enter")));
}

const letIn = (name, pin) => attempt(async () => {
  await signInWithPin(name, pin);
  tell("");
  go("#voice");
});
