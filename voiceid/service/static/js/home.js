// Home: who lives here, and "Who is speaking?".

import { addressForOthers, all, call, listen, qrCode, sessions, signIn } from "./api.js";
import { attempt, go } from "./app.js";
import { ask, button, field, fill, h } from "./dom.js";
import { microphoneFault, openMicrophone } from "./microphone.js";
import { enterAs } from "./pin.js";
import { moment, number, t } from "./words.js";

const MOST_UNSENT = 64000; // bytes: two seconds of sound

export async function show(content) {
  const people = await all("people");
  const cards = h("ul", { class: "cards" });
  for (const person of people) cards.append(await card(person));
  const speaking = whoIsSpeaking();
  fill(content,
    h("h1", { tabindex: "-1" }, t("home.title")),
    speaking.element,
    h("section", { "aria-labelledby": "people" },
      h("h2", { id: "people" }, t("home.people")),
      people.length ? cards : h("p", {}, t("home.nobody")),
      sessions.owner ? addPerson(people) : null));
  return speaking.stop;
}

async function card(person) {
  const mine = sessions.person?.person === person.id;
  const more = h("div", {});
  const item = h("li", { class: "card person" },
    h("span", { class: "face", "aria-hidden": "true" }, person.display_name.slice(0, 1).toUpperCase()),
    h("div", { class: "who" },
      h("h3", {}, person.display_name, mine ? h("span", { class: "badge" }, t("home.you")) : null),
      h("p", { class: person.voice_id ? "on" : "off" }, t(person.voice_id ? "home.on" : "home.off"))),
    more);
  if (mine) fill(more, await ownFacts(person));
  else if (sessions.owner) {
    fill(more, button(t("home.invite"), () => attempt(() => invite(person)), "quiet", { "aria-label": t("home.invite.who", { name: person.display_name }) }),
      sessions.person ? null : button(t("home.me"), () => enterAs(person.display_name), "quiet", { "aria-label": t("pin.for", { name: person.display_name }) }));
  }
  return item;
}

/** Shown on one's own card alone: a page must not be a tool to watch a partner. */
async function ownFacts(person) {
  const recordings = await all(`people/${person.id}/recordings`);
  const interactions = await all(`people/${person.id}/interactions`);
  const last = interactions.map((one) => one.at).sort().pop();
  return [
    h("p", {}, last ? t("home.last", { at: moment(last) }) : t("home.never")),
    h("p", {}, t("home.recordings", { count: recordings.length })),
    h("p", {}, h("a", { href: person.voice_id ? "#voice" : "#join" }, t(person.voice_id ? "nav.voice" : "nav.join"))),
  ];
}

function addPerson(people) {
  const name = h("input", { name: "name", required: true, maxlength: 80, autocomplete: "off" });
  const adults = people.filter((one) => one.kind === "adult");
  const guardian = h("select", {}, adults.map((one) => h("option", { value: one.id }, one.display_name)));
  const wards = h("div", { hidden: true }, field(t("home.guardian"), guardian));
  const kind = h("select", { onchange: () => { wards.hidden = kind.value !== "child"; } },
    h("option", { value: "adult" }, t("home.adult")),
    h("option", { value: "child", disabled: adults.length === 0 }, t("home.child")));
  const add = async () => {
    const guardians = kind.value === "child" ? [guardian.value] : [];
    const json = { display_name: name.value, kind: kind.value, guardians };
    return call("POST", "people", { as: "owner", json });
  };
  const here = async (event) => {
    event.preventDefault();
    await attempt(async () => {
      const person = await add();
      if (person.kind === "child") return go("#home");
      const invited = await call("POST", `people/${person.id}/invitations`, { as: "owner" });
      await signIn(invited.code);
      return go("#join");
    });
  };
  const elsewhere = async () => {
    if (!name.reportValidity()) return;
    await attempt(async () => {
      await invite(await add());
      go("#home");
    });
  };
  return h("form", { class: "card", onsubmit: here, "aria-labelledby": "add" },
    h("h3", { id: "add" }, t(people.length ? "home.add" : "home.first")),
    h("p", { class: "hint" }, t("home.add.hint")),
    field(t("home.name"), name), field(t("home.kind"), kind), wards,
    h("div", { class: "pair" },
      h("button", { type: "submit", class: "primary" }, t("home.here")),
      button(t("home.elsewhere"), elsewhere)));
}

async function invite(person) {
  const invited = await call("POST", `people/${person.id}/invitations`, { as: "owner" });
  const { url, onlyHere } = await addressForOthers();
  const link = `${url}/#${invited.code}`;
  const code = await qrCode(link, t("invite.qr", { name: person.display_name }));
  await ask(t("invite.title", { name: person.display_name }), (close) => [
    h("p", {}, t("invite.how", { name: person.display_name, until: moment(invited.expires_at) })),
    onlyHere ? h("p", { class: "off" }, t("invite.here")) : null,
    h("p", { class: "link" }, h("code", {}, link)), code,
    h("div", { class: "pair" },
      button(t("copy"), () => navigator.clipboard.writeText(link)),
      button(t("done"), () => close(true), "primary")),
  ]);
}

/** The big button, the level, the hypothesis as it grows, and the answer. */
export function whoIsSpeaking(title = t("live.title")) {
  const meter = h("div", { class: "meter", "aria-hidden": "true" }, h("div", { class: "bar" }));
  const guess = h("p", { class: "guess", role: "status" }, t("live.idle"));
  const sure = h("progress", { max: 1, value: 0, "aria-label": t("live.sure"), hidden: true });
  const answer = h("div", { class: "answer", "aria-live": "polite" });
  let wanted = null; // what the last press of the button began; null: nobody wants to be heard
  let microphone = null;
  let socket = null;

  function stop(text = t("live.idle")) {
    microphone?.close();
    socket?.close();
    wanted = microphone = socket = null;
    fill(toggle, t("live.start"));
    toggle.setAttribute("aria-pressed", "false");
    meter.firstChild.style.width = "0";
    sure.hidden = true;
    fill(guess, text);
  }

  function heard(event) {
    switch (event.type) {
      case "listening":
        return fill(guess, t("live.listening"));
      case "speech_started":
        fill(answer);
        sure.hidden = false;
        sure.value = 0;
        return fill(guess, t("live.somebody", { speech: number(0, 1) }));
      case "hypothesis":
        sure.value = event.person ? event.confidence : Math.min(0.5, event.speech_s / 6);
        return fill(guess, event.person
          ? t("live.probably", { name: event.person.display_name, sure: number(event.confidence * 100, 0) })
          : t("live.somebody", { speech: number(event.speech_s, 1) }));
      case "decision":
        sure.hidden = true;
        fill(guess, t("live.listening"));
        return fill(answer, told(event));
      case "error":
        return stop(t(`problem.${event.problem.type.split("/").pop()}`, event.problem));
      case "closed":
        return socket && stop(t("live.lost"));
      default:
        return null;
    }
  }

  async function start() {
    const mine = (wanted = {});
    fill(answer);
    fill(guess, t("live.opening"));
    fill(toggle, t("live.stop"));
    toggle.setAttribute("aria-pressed", "true");
    let opened = null;
    try {
      opened = await openMicrophone(({ samples, level }) => {
        meter.firstChild.style.width = `${Math.max(0, Math.min(100, (level + 60) * 1.8))}%`;
        if (socket?.readyState !== WebSocket.OPEN) return;
        if (socket.bufferedAmount > MOST_UNSENT) stop(t("problem.busy"));
        else socket.send(samples);
      });
    } catch (error) {
      return mine === wanted ? stop(t(microphoneFault(error))) : null;
    }
    if (mine !== wanted) { // stopped, or the screen was left, while the browser still asked
      opened.close();
      return null;
    }
    microphone = opened;
    socket = listen({ locale: document.documentElement.lang, intent: "greeting" }, heard);
    return null;
  }

  const toggle = button(t("live.start"), () => (wanted ? stop() : start()), "big primary", { "aria-pressed": "false" });
  const element = h("section", { class: "card live", "aria-labelledby": "live" },
    h("h2", { id: "live" }, title), toggle, meter, guess, sure, answer, h("p", { class: "hint" }, t("live.hint")));
  return { element, stop: () => stop() };
}

function told(event) {
  const why = event.person ? t("live.recognized", { name: event.person.display_name }) : t(`reason.${event.reason}`);
  return [
    h("p", { class: "said" }, event.response.text),
    h("p", { class: event.person ? "on" : "off" }, why),
    h("p", { class: "hint" }, t(event.stored ? "live.stored" : "live.nothing")),
    event.retracted ? h("p", { class: "hint" }, t("live.retracted")) : null,
  ];
}

